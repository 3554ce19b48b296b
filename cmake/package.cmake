# Debian packages by cpack (tools/package.sh builds them): libhone0 the library, libhone-dev what programs are built with, hone the
# command with its manual pages and completion. The GPU module is none of them: its libraries are not Debian's.
set(soname libhone${PROJECT_VERSION_MAJOR})
foreach(pair "library:${soname}" "dev:libhone-dev" "command:hone")
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 component)
  list(GET pair 1 package)
  string(TOUPPER ${component} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package})
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} RENAME copyright COMPONENT ${component})
endforeach()
set(CPACK_COMPONENTS_ALL library dev command)
set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PACKAGE_CONTACT "The developers of Hone <hone@localhost>")

set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "trains and tunes ONNX models, library
Takes an ONNX model in, trains it on your data and gives the same ONNX
model back.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)

set(CPACK_COMPONENT_DEV_DESCRIPTION "trains and tunes ONNX models, for building programs
Headers, static library, pkg-config file and CMake package of libhone.")
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "${soname} (= ${PROJECT_VERSION}-1), libprotobuf-c-dev, libopenblas-dev, zlib1g-dev, \
libzip-dev, libxxhash-dev, libsqlite3-dev")
if(HN_PC_LIBPQ)
  string(APPEND CPACK_DEBIAN_DEV_PACKAGE_DEPENDS ", libpq-dev")
endif()

set(CPACK_COMPONENT_COMMAND_DESCRIPTION "trains and tunes ONNX models, the command
Takes an ONNX model in, trains and tunes it on your data and gives the
same ONNX model back, better.")
set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION science)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BINARY_DIR})
set(CPACK_COMPONENT_COMMAND_DEPENDS library)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
include(CPack)
