# Layer onnx: the protobuf schema is compiled by protoc-c into the build folder; only this folder sees the result.
find_program(PROTOC_C protoc-c REQUIRED)
set(HN_PB_DIR ${CMAKE_BINARY_DIR}/onnx-schema)
file(MAKE_DIRECTORY ${HN_PB_DIR})
add_custom_command(OUTPUT ${HN_PB_DIR}/onnx.pb-c.c ${HN_PB_DIR}/onnx.pb-c.h
  COMMAND ${PROTOC_C} --proto_path=${CMAKE_SOURCE_DIR}/onnx --c_out=${HN_PB_DIR} onnx.proto
  DEPENDS ${CMAKE_SOURCE_DIR}/onnx/onnx.proto VERBATIM)
set_source_files_properties(${HN_PB_DIR}/onnx.pb-c.c PROPERTIES COMPILE_OPTIONS "-w")
set_source_files_properties(${HN_PB_DIR}/onnx.pb-c.h PROPERTIES GENERATED TRUE)
hn_layer(onnx onnx ${HN_PB_DIR}/onnx.pb-c.c ${HN_PB_DIR}/onnx.pb-c.h)
if(TARGET hn_onnx)
  target_include_directories(hn_onnx SYSTEM PRIVATE ${HN_PB_DIR})
endif()
