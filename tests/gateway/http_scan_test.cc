#include "gateway/http_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace tollgate::gateway {
namespace {

// Sixteen at once, and then one by one: wherever the control stands, and whatever stands behind it.
TEST(FieldValues, EndBeforeTheFirstControlWhereverItStands) {
  for (std::size_t size = 0; size < 50; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (const char control : {'\r', '\0', '\x1f', '\x7f'}) {
        std::string text(size, '\t');
        text[at] = control;
        text.back() = size - 1 == at ? control : '\n';
        EXPECT_EQ(field_value_size(text), at) << size;
      }
    }
    const std::string plain(size, '\xff');
    EXPECT_EQ(field_value_size(plain), size);
  }
}

TEST(Lines, EndAtTheFirstLineFeedBehindWhereOneLooks) {
  for (std::size_t size = 0; size < 50; ++size) {
    for (std::size_t from = 0; from <= size; ++from) {
      std::string text(size, '\r');
      EXPECT_EQ(find_line_end(text, from), size);
      for (std::size_t at = from; at < size; ++at) {
        text.assign(size, '\n');
        std::fill(text.begin() + static_cast<std::ptrdiff_t>(from), text.begin() + static_cast<std::ptrdiff_t>(at),
                  '\v');
        EXPECT_EQ(find_line_end(text, from), at) << size;
      }
    }
  }
}

}  // namespace
}  // namespace tollgate::gateway
