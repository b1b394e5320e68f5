# Writes a .cc file that holds text files as string literals: cmake -DOUT=... -DSYMBOL=... -DFILES="a;b" -P embed.cmake
# The built-in catalogue and plans come from conf/ this way, so that the program runs without any file beside it.
set(body "")
foreach(file IN LISTS FILES)
  file(READ "${file}" text)
  get_filename_component(name "${file}" NAME)
  # A literal may hold at most 64 KiB in some compilers; these files are far smaller.
  string(APPEND body "    {\"${name}\", R\"embedded(${text})embedded\"},\n")
endforeach()
file(WRITE "${OUT}.new" "// Generated from conf/ by cmake/embed.cmake.\n#include \"billing/embedded.h\"\n\nnamespace tollgate::billing {\nstd::vector<EmbeddedFile> ${SYMBOL}() {\n  return {\n${body}  };\n}\n}  // namespace tollgate::billing\n")
file(COPY_FILE "${OUT}.new" "${OUT}" ONLY_IF_DIFFERENT)
file(REMOVE "${OUT}.new")
