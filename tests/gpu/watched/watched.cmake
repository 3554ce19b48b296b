# Races of the GPU's kernels, found without a GPU (watch.c): some cases of the tests on the fake device with kernels that tell of
# every access. Not with other sanitizers.
if(HONE_SANITIZE OR HONE_FUZZ)
  return()
endif()
set(watch -fsanitize=thread -O0)  # only to compile: the calls are answered by watch.c
hn_gpu_as_c(hn_gpu_watched HN_WATCHED "${watch}")
foreach(topic rows train panel large chain)
  set(t test_gpu_watched_${topic})
  add_executable(${t} tests/gpu/test_fake_${topic}.c tests/gpu/fake.c tests/gpu/fake_cudnn.c tests/gpu/watched/watch.c)
  target_include_directories(${t} PRIVATE tests/gpu/nocheck)
  target_link_libraries(${t} PRIVATE hn_gpu_watched hn_math hn_base hn_flags hn_deps)
  add_test(NAME gpu.watched_${topic} COMMAND ${t})
  set_tests_properties(gpu.watched_${topic} PROPERTIES TIMEOUT 1500 ENVIRONMENT "HN_TEST_EVERY=16")
endforeach()

add_executable(test_gpu_watched_racy tests/gpu/watched/racy.c tests/gpu/watched/watch.c)
set_source_files_properties(tests/gpu/watched/racy.c PROPERTIES COMPILE_DEFINITIONS HN_WATCHED COMPILE_OPTIONS "${watch}")
target_link_libraries(test_gpu_watched_racy PRIVATE hn_flags hn_deps)
foreach(kernel in_a_phase beside_phases between_blocks under_way before_its_turn beside_what_changes)
  add_test(NAME gpu.watched_finds_${kernel} COMMAND test_gpu_watched_racy ${kernel})
  set_tests_properties(gpu.watched_finds_${kernel} PROPERTIES PASS_REGULAR_EXPRESSION "RACE in ${kernel}")
endforeach()
add_test(NAME gpu.watched_finds_none COMMAND test_gpu_watched_racy right)
