#include "lib/config/config.h"

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/config/test_config.pb.h"
#include "lib/testing/status_matchers.h"

namespace cairn {
namespace {

using config_test::TestConfig;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ConfigTest, ReadsAFile) {
  const std::string path = ::testing::TempDir() + "/config_test.conf";
  std::ofstream(path) << "# A comment.\nname: 'n1'\nlisten: ['a:1', 'b:2']\n"
                      << "disks { directory: '/d0' reserve_bytes: 5 }\n";
  TestConfig config;
  config.set_threads(3);
  ASSERT_THAT(LoadConfigFile(path, &config), IsOk());
  EXPECT_EQ(config.name(), "n1");
  EXPECT_THAT(config.listen(), ElementsAre("a:1", "b:2"));
  EXPECT_EQ(config.disks(0).reserve_bytes(), 5);
  EXPECT_FALSE(config.has_threads());
}

TEST(ConfigTest, AMissingFileIsNamed) {
  TestConfig config;
  EXPECT_THAT(
      LoadConfigFile("/nowhere/x.conf", &config),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/x.conf")));
}

TEST(ConfigTest, AnErrorNamesTheLineTheFieldAndTheFix) {
  TestConfig config;
  EXPECT_THAT(ParseConfigText("name: 'x'\nlissten: 'a'\n", "f.conf", &config),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("f.conf:2:"), HasSubstr("'lissten'"),
                             HasSubstr("did you mean 'listen'?"))));
  EXPECT_THAT(
      ParseConfigText("disks {\n  directori: 'a' }", "f.conf", &config),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("f.conf:2:"), HasSubstr("'directory'"))));
  EXPECT_THAT(ParseConfigText("zzzzzzzzzz: 1", "f", &config),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("there are: name, listen")));
  EXPECT_THAT(ParseConfigText("threads: 'x'", "f", &config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("f:1:")));
}

TEST(ConfigTest, OverridesSetWhatTheyName) {
  TestConfig config;
  config.add_listen("old");
  config.add_disks()->set_directory("/d0");
  for (const char* assignment :
       {"name=a=b c", "threads=-5", "share=0.5", "on=true", "level=LEVEL_QUIET",
        "main.directory=/m", "disks[0].reserve_bytes=7",
        "disks+={directory: \"/d1\"}", "listen=new", "listen+=newer",
        "weight=9"}) {
    EXPECT_THAT(ApplyOverride(assignment, &config), IsOk()) << assignment;
  }
  EXPECT_EQ(config.name(), "a=b c");
  EXPECT_EQ(config.threads(), -5);
  EXPECT_EQ(config.share(), 0.5);
  EXPECT_TRUE(config.on());
  EXPECT_EQ(config.level(), TestConfig::LEVEL_QUIET);
  EXPECT_EQ(config.main().directory(), "/m");
  EXPECT_EQ(config.disks(0).reserve_bytes(), 7);
  EXPECT_EQ(config.disks(0).directory(), "/d0");
  EXPECT_EQ(config.disks(1).directory(), "/d1");
  EXPECT_THAT(config.listen(), ElementsAre("new", "newer"));
  EXPECT_THAT(ApplyOverride("name=", &config), IsOk());
  EXPECT_EQ(config.name(), "");
}

TEST(ConfigTest, ABadOverrideSaysWhyAndChangesNothing) {
  TestConfig config;
  config.add_disks()->set_directory("/d0");
  const std::string before = config.SerializeAsString();
  const struct {
    const char* assignment;
    const char* why;
  } bad[] = {
      {"name", "field=value"},
      {"=x", "field=value"},
      {"nane=x", "did you mean 'name'?"},
      {"main.directry=x", "did you mean 'directory'?"},
      {"threads=many", "a whole number"},
      {"weight=-1", "not negative"},
      {"threads=99999999999", "a whole number"},
      {"share=x", "a number"},
      {"on=2x", "true or false"},
      {"level=LOUD", "LEVEL_QUIET"},
      {"main=5", "{field: value ...}"},
      {"name.x=1", "has no fields inside"},
      {"disks.directory=x", "has 1 elements"},
      {"disks[1].directory=x", "has 1 elements"},
      {"disks[x].directory=x", "name[index]"},
      {"main[0].directory=x", "not a list"},
      {"name+=x", "not a list"},
      {"disks[0]={}", "cannot be replaced"},
  };
  for (const auto& c : bad) {
    EXPECT_THAT(ApplyOverride(c.assignment, &config),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(c.assignment), HasSubstr(c.why))));
  }
  // A message that is made on the way counts as empty.
  config.clear_main();
  EXPECT_EQ(config.SerializeAsString(), before);
}

TEST(ConfigTest, WhatIsPrintedCanBeReadAndHasNoSecrets) {
  TestConfig config;
  config.set_name("größe \"q\"");
  config.add_disks()->set_directory("/d0");
  config.set_cluster_secret("hunter2");
  const std::string text = PrintConfig(config);
  EXPECT_THAT(text, Not(HasSubstr("hunter2")));
  EXPECT_THAT(text, HasSubstr("größe"));
  TestConfig again;
  ASSERT_THAT(ParseConfigText(text, "printed", &again), IsOk());
  EXPECT_EQ(again.name(), config.name());
  EXPECT_EQ(config.cluster_secret(), "hunter2");
}

}  // namespace
}  // namespace cairn
