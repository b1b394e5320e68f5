// The text files of conf/ that are compiled in (see cmake/embed.cmake).
#pragma once

#include <string_view>
#include <vector>

namespace tollgate::billing {

struct EmbeddedFile {
  std::string_view name;  // file name without folder
  std::string_view text;
};

std::vector<EmbeddedFile> embedded_catalog();  // exactly one
std::vector<EmbeddedFile> embedded_plans();    // the plan of new subscriptions first

}  // namespace tollgate::billing
