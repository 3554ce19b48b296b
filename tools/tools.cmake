# The hone command: a client of the shared library's public header.
if(TARGET hone_shared)
  # the look and the script of a report become part of the program
  set(page ${CMAKE_BINARY_DIR}/report_page.c)
  set(page_css ${CMAKE_SOURCE_DIR}/tools/report/page.css)
  set(page_js ${CMAKE_SOURCE_DIR}/tools/report/page.js)
  add_custom_command(OUTPUT ${page} DEPENDS ${page_css} ${page_js} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    COMMAND ${CMAKE_COMMAND} -DOUT=${page} "-DNAMES=page_css=${page_css},page_js=${page_js}"
      -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
  file(GLOB tool_sources CONFIGURE_DEPENDS tools/*.c)
  add_executable(hone_command ${tool_sources} ${page})
  set_target_properties(hone_command PROPERTIES OUTPUT_NAME hone RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}
    BUILD_RPATH ${CMAKE_BINARY_DIR} INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  target_link_libraries(hone_command PRIVATE hn_flags hone_shared PkgConfig::JANSSON PkgConfig::YAML m)
  install(TARGETS hone_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
  include(tools/pages.cmake)
endif()
