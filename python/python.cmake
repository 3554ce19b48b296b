# The Python package: what its wheel takes from this build (pyproject.toml installs the component "python" into the wheel).
add_custom_target(hone_python DEPENDS hone_shared)
install(FILES $<TARGET_FILE:hone_shared> DESTINATION hone RENAME libhone.so COMPONENT python EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION hone COMPONENT python EXCLUDE_FROM_ALL)
if(TARGET hone_cuda) # looked for beside the library
  add_dependencies(hone_python hone_cuda)
  install(FILES $<TARGET_FILE:hone_cuda> DESTINATION hone COMPONENT python EXCLUDE_FROM_ALL)
endif()
