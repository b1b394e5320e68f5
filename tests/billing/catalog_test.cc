#include "billing/catalog.h"

#include <gtest/gtest.h>

#include <map>

#include "billing/embedded.h"

namespace tollgate::billing {
namespace {

TEST(Catalog, BuiltInHasEveryModelOfThePricePage) {
  const auto files = embedded_catalog();
  ASSERT_EQ(files.size(), 1u);
  const auto parsed = Catalog::parse(files[0].text, files[0].name);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(parsed->models().size(), 40u);
  std::map<std::string, int> directions;
  std::int64_t points = 0;
  for (const auto& model : Catalog::built_in().models()) {
    ++directions[model.direction];
    points += model.cost.count();
    EXPECT_FALSE(model.title.empty());
  }
  EXPECT_EQ(directions,
            (std::map<std::string, int>{{"image", 21}, {"text", 12}, {"sound", 1}, {"video", 1}, {"tabular", 5}}));
  EXPECT_EQ(points, 362);  // the sum of the page's column
}

TEST(Catalog, OnlyHighPerformanceImageClassificationIsFast) {
  for (const auto& model : Catalog::built_in().models()) {
    const bool fast = model.name == "image-classification/high-performance";
    EXPECT_EQ(model.fast, fast) << model.name;
    EXPECT_EQ(base_guarantee(model), fast ? 10 : 4) << model.name;
  }
}

TEST(Catalog, PointsOfTheContradictoryRowAreWhatIsMetered) {
  const Model* model = Catalog::built_in().find("image-classification/boost-200-300ms");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->cost, Points(4));
  EXPECT_EQ(model->title, "图像分类-精度提升配置包-200-300ms");
  EXPECT_EQ(Catalog::built_in().find("no/such-model"), nullptr);
}

TEST(Catalog, EveryFaultOfAFileIsReportedWithItsLine) {
  const auto parsed = Catalog::parse(
      "models:\n"
      "  - {name: a/b, direction: image, points: 0, title: A}\n"
      "  - {name: A B, direction: smell, points: 4, title: B}\n"
      "  - {name: c, direction: text, points: 1.5, title: C, colour: red}\n"
      "  - {name: d, direction: text, title: D, title: E}\n"
      "  - {name: a/b, direction: text, points: 1, title: F, class: slow}\n"
      "extra: 1\n",
      "my.yaml");
  ASSERT_TRUE(parsed.has_error());
  EXPECT_EQ(parsed.error().code, "invalid_catalog");
  EXPECT_EQ(parsed.error().message,
            "my.yaml:2: points must be an integer from 1 to 1000000, not '0'\n"
            "my.yaml:3: name 'A B' must be segments of a-z, 0-9 and '-', joined by '/'\n"
            "my.yaml:3: direction must be one of image, text, sound, video, tabular, not 'smell'\n"
            "my.yaml:4: unknown key 'colour' in a model\n"
            "my.yaml:4: points must be an integer from 1 to 1000000, not '1.5'\n"
            "my.yaml:5: 'title' stands here twice\n"
            "my.yaml:5: a model lacks 'points'\n"
            "my.yaml:6: class must be one of standard, fast, not 'slow'\n"
            "my.yaml:6: model 'a/b' stands here twice\n"
            "my.yaml:7: unknown key 'extra' in the catalogue");
}

TEST(Catalog, TextThatIsNoYamlOrNoMapIsAFault) {
  for (const auto* text : {"models: [", "", "- 1", "models: 7", "models: []", "models: [7]", "{}", "\t"}) {
    const auto parsed = Catalog::parse(text, "x");
    ASSERT_TRUE(parsed.has_error()) << text;
    EXPECT_EQ(parsed.error().message.substr(0, 4), "x:1:") << text;
  }
}

}  // namespace
}  // namespace tollgate::billing
