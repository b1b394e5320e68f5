#include "gateway/trace_context.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace tollgate::gateway {
namespace {
const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kParent = "00f067aa0ba902b7";

std::string_view trace_id(std::initializer_list<std::string_view> values) {
  std::vector<Field> fields = {{"Accept", "*/*", FieldId::other}};
  for (const auto value : values) fields.push_back({"TraceParent", value, FieldId::other});
  return trace_id_of(fields);
}

TEST(TraceContext, TheTraceOfAWellFormedParent) {
  const std::string good = "00-" + kTrace + "-" + kParent + "-01";
  EXPECT_EQ(trace_id({good}), kTrace);
  EXPECT_EQ(trace_id({}), "");
}

TEST(TraceContext, ALaterVersionMaySayMoreBehindADash) {
  const std::string later = "cc-" + kTrace + "-" + kParent + "-01";
  EXPECT_EQ(trace_id({later}), kTrace);
  EXPECT_EQ(trace_id({later + "-what-the-future-will-be-like"}), kTrace);
  EXPECT_EQ(trace_id({later + ".what"}), "");
}

TEST(TraceContext, WhatIsMalformedIsNoTrace) {
  const std::string zeros(32, '0');
  for (const std::string& bad :
       {std::string(), "00-" + kTrace, "ff-" + kTrace + "-" + kParent + "-01", "00-" + zeros + "-" + kParent + "-01",
        "00-" + kTrace + "-0000000000000000-01", "00-" + kTrace + "-" + kParent + "-0",
        "00-" + kTrace + "-" + kParent + "-01-more", "00-" + kTrace + "-" + kParent + "-0g",
        "0x-" + kTrace + "-" + kParent + "-01", "00_" + kTrace + "-" + kParent + "-01",
        "00-" + kTrace + "_" + kParent + "-01", "00-" + kTrace + "-" + kParent + "_01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + kParent + "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473\"-" + kParent + "-01"}) {
    EXPECT_EQ(trace_id({bad}), "") << bad;
  }
}

TEST(TraceContext, TwoParentsAreNone) {
  const std::string good = "00-" + kTrace + "-" + kParent + "-01";
  EXPECT_EQ(trace_id({good, good}), "");
}

}  // namespace
}  // namespace tollgate::gateway
