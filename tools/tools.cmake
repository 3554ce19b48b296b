# The hone command: a client of the shared library's public header.
if(TARGET hone_shared)
  file(GLOB tool_sources CONFIGURE_DEPENDS tools/*.c)
  add_executable(hone_command ${tool_sources})
  set_target_properties(hone_command PROPERTIES OUTPUT_NAME hone RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}
    BUILD_RPATH ${CMAKE_BINARY_DIR} INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  target_link_libraries(hone_command PRIVATE hn_flags hone_shared PkgConfig::JANSSON PkgConfig::YAML m)
  install(TARGETS hone_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
