# libhone, shared and static, and what an embedding project finds it by: hone.pc and the CMake package "hone"
# (find_package(hone), targets hone::hone and hone::hone_static). Only hone_* leaves the shared library.
set(objects "")
foreach(layer ${HN_LAYERS})
  list(APPEND objects $<TARGET_OBJECTS:hn_${layer}>)
endforeach()
foreach(isa ${HN_CPU_ISAS})
  list(APPEND objects $<TARGET_OBJECTS:hn_cpu_${isa}>)
endforeach()

# Both libraries hold the same objects.
function(hn_library target type)
  add_library(${target} ${type} ${objects})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME hone LINKER_LANGUAGE C
    ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  target_include_directories(${target} INTERFACE
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/plugin> $<BUILD_INTERFACE:${CMAKE_BINARY_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

set(exports ${CMAKE_SOURCE_DIR}/cmake/hone.map)
hn_library(hone_shared SHARED)
target_link_libraries(hone_shared PRIVATE hn_deps "-Wl,--version-script=${exports}")
if(NOT HONE_SANITIZE AND NOT HONE_FUZZ) # their runtimes come with the program
  target_link_libraries(hone_shared PRIVATE "-Wl,-z,defs")
endif()
set_target_properties(hone_shared PROPERTIES EXPORT_NAME hone VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${exports})

hn_library(hone_static STATIC)
target_link_libraries(hone_static INTERFACE protobuf-c openblas z zip xxhash sqlite3
  $<$<BOOL:${HN_PC_LIBPQ}>:pq> pthread m dl)

# What a package for those who run programs holds is component "library"; what those who build them need is "dev".
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME dev)
install(TARGETS hone_shared hone_static EXPORT honeTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT dev
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES plugin/hone.h plugin/hone_plugin.h ops/base/hone_status.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/hone)
include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/honeConfig.cmake.in ${CMAKE_BINARY_DIR}/honeConfig.cmake
  INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/honeConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/honeConfig.cmake ${CMAKE_BINARY_DIR}/honeConfigVersion.cmake
  DESTINATION ${package})
install(EXPORT honeTargets NAMESPACE hone:: DESTINATION ${package})

# hone.pc finds its folders from where it lies, so that an installed tree may be moved.
file(RELATIVE_PATH HN_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/hone.pc.in ${CMAKE_BINARY_DIR}/hone.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/hone.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
