# Text files as C strings: cmake -DOUT=FILE.c -DNAMES=page_css=a.css,page_js=b.js -P embed.cmake
set(text "/* Made by cmake/embed.cmake. */\n")
string(REPLACE "," ";" pairs "${NAMES}")
foreach(pair ${pairs})
  string(REGEX REPLACE "=.*" "" name "${pair}")
  string(REGEX REPLACE "^[^=]*=" "" path "${pair}")
  file(READ "${path}" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REPLACE "0x0a," "0x0a,
" bytes "${bytes}")
  string(APPEND text "extern const char ${name}[];\nconst char ${name}[] = {\n${bytes}0\n};\n")
endforeach()
file(WRITE "${OUT}" "${text}")
