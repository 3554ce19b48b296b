# Tests that are not Check programs: the tree's own promises, the command, comparisons with other runtimes.
find_package(Python3 COMPONENTS Interpreter)
set(HONE_PYTHON "" CACHE STRING "Python with numpy, onnx and onnxruntime for the comparison tests")
if(NOT Python3_EXECUTABLE)
  message(STATUS "hone: no python3, the tests of the tree and of the command are left out")
  return()
endif()
set(test_python ${HONE_PYTHON})
if(NOT test_python)
  set(test_python ${Python3_EXECUTABLE})
endif()

foreach(check arrows banned heads words figures)
  add_test(NAME structure.${check} COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/structure/structure.py ${check})
endforeach()

# Every script takes the build folder, prints what it compares and exits 0, 1 or 77 (skipped, with the reason).
file(GLOB scripts CONFIGURE_DEPENDS tests/cli/*.py tests/interop/*.py
  tests/plugin/*.py)
foreach(script ${scripts})
  get_filename_component(area ${script} DIRECTORY)
  get_filename_component(area ${area} NAME)
  get_filename_component(topic ${script} NAME_WE)
  if(topic MATCHES "^_")
    continue()
  endif()
  add_test(NAME ${area}.${topic} COMMAND ${test_python} ${script} ${CMAKE_BINARY_DIR})
  set_tests_properties(${area}.${topic} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${HN_SCRIPT_SECONDS})
endforeach()

# The Python package's own tests: a script each, called as the others.
file(GLOB scripts CONFIGURE_DEPENDS python/tests/test_*.py)
foreach(script ${scripts})
  get_filename_component(topic ${script} NAME_WE)
  string(REGEX REPLACE "^test_" "" topic ${topic})
  add_test(NAME python.${topic} COMMAND ${test_python} ${script} ${CMAKE_BINARY_DIR})
  set_tests_properties(python.${topic} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${HN_SCRIPT_SECONDS} LABELS python)
endforeach()
