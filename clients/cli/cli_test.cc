// The command as its users meet it: a storage node and a tracker of this
// process on the other side of real gRPC, everything between is what ships.

#include "clients/cli/cli.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "clients/cli/testing/cli_harness.h"
#include "clients/cpp/testing/fake_storage.h"
#include "clients/cpp/testing/fake_tracker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/checksum/crc32c.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace cli {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Json = nlohmann::json;

constexpr char kGoldenId[] =
    "group1/M00/C2/A6/wKgBZGlVuQAAAAAAAAAQAOMGkoMBAAAHcFK1IdnM.jpg";

class CliTest : public ::testing::Test {
 protected:
  CliTest() { tracker_.SetNodes({client::NodeOf(storage_)}); }

  // With the tracker, unless the arguments name something else.
  CliResult Run(std::vector<std::string> arguments,
                const std::string& in = "") {
    arguments.push_back("--tracker");
    arguments.push_back(tracker_.address());
    return cli_.Run(arguments, in);
  }

  // The whole line, without its line feed.
  static std::string Id(const CliResult& put) {
    EXPECT_EQ(put.exit, 0) << put.err;
    return absl::StrReplaceAll(put.out, {{"\n", ""}});
  }

  client::FakeStorage storage_;
  client::FakeTracker tracker_;
  CliHarness cli_;
};

// ---- put, get, stat, rm.

TEST_F(CliTest, PutPrintsAnIdByWhichGetReadsTheFileBack) {
  cli_.WriteFile("photo.jpg", "not really a photo");
  const std::string id = Id(Run({"put", cli_.Path("photo.jpg")}));
  EXPECT_THAT(id, EndsWith(".jpg"));

  const CliResult got = Run({"get", id, "-o", cli_.Path("copy.jpg")});
  EXPECT_EQ(got.exit, 0) << got.err;
  EXPECT_EQ(cli_.ReadFile("copy.jpg"), "not really a photo");
}

TEST_F(CliTest, StdinGoesInAndStdoutComesOutUnchanged) {
  const std::string content("\0\n\xff binary", 10);
  const std::string id = Id(Run({"put", "-", "--ext", "bin"}, content));
  EXPECT_THAT(id, EndsWith(".bin"));
  const CliResult got = Run({"get", id, "-o", "-"});
  EXPECT_EQ(got.exit, 0) << got.err;
  EXPECT_EQ(got.out, content);
}

TEST_F(CliTest, StatTellsWhichMembersHaveAFile) {
  const std::string id = Id(Run({"put", "-"}, "content"));
  EXPECT_THAT(Run({"stat", id}).out, Not(HasSubstr("replica")));
  const CliResult text = Run({"stat", id, "--replicas"});
  EXPECT_EQ(text.exit, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("storage-a current"));
  EXPECT_THAT(text.out, HasSubstr("b unreachable"));
  const Json json = Json::parse(Run({"stat", id, "--replicas", "--json"}).out);
  ASSERT_THAT(json["replicas"], SizeIs(2));
  EXPECT_EQ(json["replicas"][0]["node_name"], "storage-a");
  EXPECT_EQ(json["replicas"][0]["node_number"], 7);
  EXPECT_EQ(json["replicas"][0]["state"], "current");
  EXPECT_EQ(json["replicas"][1]["node_uuid"], "b");
  EXPECT_EQ(json["replicas"][1]["state"], "unreachable");
  EXPECT_FALSE(
      Json::parse(Run({"stat", id, "--json"}).out).contains("replicas"));
}

TEST_F(CliTest, UploadsAreAbortedOnlyWhenSomebodyAgrees) {
  const std::string id = "00000007-00-550e8400-e29b-41d4-a716-446655440000";
  const CliResult asked = Run({"uploads", "abort", id});
  EXPECT_EQ(asked.exit, 2);
  EXPECT_THAT(asked.err, HasSubstr("--yes"));
  EXPECT_EQ(Run({"uploads", "abort"}).exit, 2);
  const CliResult nonsense = Run({"uploads", "abort", "nonsense", "--yes"});
  EXPECT_EQ(nonsense.exit, 2) << nonsense.err;
  EXPECT_THAT(Run({"uploads", "abort", id, "--print-grpcurl"}).out,
              HasSubstr("select(.nodeNumber == 7)"));
  const CliResult list = Run({"uploads"});
  EXPECT_EQ(list.exit, 2);
  EXPECT_THAT(list.err, HasSubstr("--secret-file"));
}

// ---- Attributes.

TEST_F(CliTest, ADerivedFileIsNamedAfterItsMaster) {
  cli_.WriteFile("photo.jpg", "not really a photo");
  cli_.WriteFile("small.webp", "a small one");
  const std::string master = Id(Run({"put", cli_.Path("photo.jpg")}));
  const std::string id =
      Id(Run({"put", cli_.Path("small.webp"), "--derived-from", master,
              "--prefix", "_small"}));
  EXPECT_EQ(id, absl::StrReplaceAll(master, {{".jpg", "_small.webp"}}));
  const CliResult got = Run({"get", id, "-o", "-"});
  EXPECT_EQ(got.out, "a small one");
  EXPECT_THAT(Run({"stat", id}).out, HasSubstr("derived"));
  const CliResult offline = Run({"stat", "--offline", id});
  EXPECT_THAT(offline.out, HasSubstr("_small"));
  EXPECT_THAT(offline.out, Not(HasSubstr("crc32c")));

  // The same again is no error, something else is.
  EXPECT_EQ(Id(Run({"put", cli_.Path("small.webp"), "--derived-from", master,
                    "--prefix", "_small"})),
            id);
  const CliResult refused =
      Run({"put", cli_.Path("photo.jpg"), "--ext", "webp", "--derived-from",
           master, "--prefix", "_small"});
  EXPECT_NE(refused.exit, 0);
  EXPECT_THAT(refused.err, HasSubstr("FILE_EXISTS"));

  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"--derived-from", master},
        {"--prefix", "_x"},
        {"--derived-from", master, "--prefix", "_x", "--appender"},
        {"--derived-from", master, "--prefix", "_x",
         cli_.Path("small.webp")}}) {
    std::vector<std::string> arguments = {"put", cli_.Path("photo.jpg")};
    arguments.insert(arguments.end(), wrong.begin(), wrong.end());
    EXPECT_EQ(Run(arguments).exit, 2) << wrong.back();
  }
  // Whether an ID is of a derived file is not for the flags to know.
  EXPECT_EQ(Run({"put", cli_.Path("photo.jpg"), "--derived-from", id,
                 "--prefix", "_x"})
                .exit,
            1);
}

TEST_F(CliTest, DerivedFilesAreListedAndGoWithTheirMaster) {
  cli_.WriteFile("f.jpg", "a form of it");
  const std::string master = storage_.Add("the master");
  const std::string other = storage_.Add("another one");
  const auto derive = [&](const std::string& from, const std::string& prefix) {
    return Id(Run({"put", cli_.Path("f.jpg"), "--derived-from", from,
                   "--prefix", prefix}));
  };
  std::vector<std::string> ids;
  for (const char* prefix : {"_a", "_b", "_c", "_d", "_e"}) {
    ids.push_back(derive(master, prefix));
  }
  const std::string kept = derive(other, "_a");
  const CliResult listed = Run({"derived", master});
  EXPECT_EQ(listed.exit, 0) << listed.err;
  EXPECT_EQ(listed.OutLines(), ids);
  const CliResult json = Run({"derived", master, "--json"});
  ASSERT_THAT(json.OutLines(), SizeIs(5));
  EXPECT_EQ(Json::parse(json.OutLines()[4])["file_id"], ids[4]);
  EXPECT_EQ(Json::parse(json.OutLines()[4])["kind"], "derived");
  EXPECT_THAT(Run({"derived", master, "--print-grpcurl"}).out,
              HasSubstr("ListDerived"));

  const CliResult removed = Run({"rm", "--with-derived", master, "--json"});
  EXPECT_EQ(removed.exit, 0) << removed.err;
  EXPECT_EQ(Json::parse(removed.OutLines()[0])["derived_deleted"], 5);
  EXPECT_THAT(Run({"derived", master}).out, IsEmpty());
  EXPECT_EQ(Run({"stat", ids[0]}).exit, 3);
  EXPECT_EQ(Run({"stat", kept}).exit, 0);
}

TEST_F(CliTest, CpPrintsTheIdOfAFileWithTheSameContent) {
  cli_.WriteFile("f.jpg", "a picture");
  const std::string id =
      Id(Run({"put", cli_.Path("f.jpg"), "--attribute", "a=1"}));
  const std::string copy = Id(Run({"cp", id}));
  EXPECT_NE(copy, id);
  EXPECT_THAT(copy, EndsWith(".jpg"));
  EXPECT_EQ(Run({"get", copy, "-o", "-"}).out, "a picture");
  EXPECT_EQ(Run({"attributes", "get", copy}).out, "a=1\n");

  const CliResult json = Run({"cp", id, "--ext", "", "--no-attributes",
                              "--expire-in", "1h", "--json"});
  ASSERT_EQ(json.exit, 0) << json.err;
  const Json made = Json::parse(json.OutLines()[0]);
  EXPECT_EQ(made["copied_from"], id);
  EXPECT_EQ(made["shared"], true);
  EXPECT_TRUE(made.contains("expire_time"));
  const std::string bare = made["file_id"];
  EXPECT_THAT(bare, Not(HasSubstr(".jpg")));
  EXPECT_EQ(Run({"attributes", "get", bare}).out, "");

  EXPECT_EQ(Run({"cp", id, "--no-attributes", "--attribute", "a=1"}).exit, 2);
  EXPECT_EQ(Run({"rm", id}).exit, 0);
  EXPECT_EQ(Run({"cp", id}).exit, 3);
  EXPECT_EQ(Run({"get", copy, "-o", "-"}).out, "a picture");
}

TEST_F(CliTest, PutDedupSaysThatTheContentIsShared) {
  cli_.WriteFile("one", "the same content");
  cli_.WriteFile("two", "the same content");
  const std::string id = Id(Run({"put", cli_.Path("one"), "--dedup"}));
  const Json stat = Json::parse(Run({"stat", id, "--json"}).out);
  const std::string sha256 = stat["sha256"];
  EXPECT_THAT(sha256, SizeIs(64));
  EXPECT_THAT(Run({"stat", id}).out, HasSubstr(sha256));

  const CliResult shared = Run({"put", cli_.Path("two"), "--dedup"});
  EXPECT_NE(Id(shared), id);
  EXPECT_THAT(shared.err, HasSubstr("is shared"));
  const CliResult json = Run({"put", cli_.Path("two"), "--dedup", "--json"});
  ASSERT_EQ(json.exit, 0) << json.err;
  EXPECT_EQ(Json::parse(json.OutLines()[0])["shared"], true);
  EXPECT_EQ(Json::parse(json.OutLines()[0])["sha256"], sha256);
  EXPECT_THAT(Run({"put", cli_.Path("one"), cli_.Path("two"), "--dedup"}).err,
              HasSubstr("2 contents there already, and shared"));

  // Who does not ask gets a content of its own, and no hash.
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{}, std::vector<std::string>{"--no-dedup"}}) {
    std::vector<std::string> arguments = {"put", cli_.Path("two"), "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CliResult plain = Run(arguments);
    ASSERT_EQ(plain.exit, 0) << plain.err;
    EXPECT_EQ(Json::parse(plain.OutLines()[0])["shared"], false);
    EXPECT_FALSE(Json::parse(plain.OutLines()[0]).contains("sha256"));
  }
  EXPECT_THAT(Run({"put", cli_.Path("one"), "--dedup", "--print-grpcurl"}).out,
              HasSubstr("\"dedup\":true"));
  EXPECT_EQ(Run({"put", cli_.Path("one"), "--dedup", "--no-dedup"}).exit, 2);
  EXPECT_EQ(Run({"put", cli_.Path("one"), "--dedup", "--appender"}).exit, 2);
}

TEST_F(CliTest, AttributesGoInWithAFileAndAreShown) {
  cli_.WriteFile("photo.JPG", "x");
  const std::string id =
      Id(Run({"put", cli_.Path("photo.JPG"), "--describe", "--attribute",
              "camera=X100=V", "--attribute", "note="}));
  EXPECT_EQ(Run({"attributes", "get", id}).out,
            "camera=X100=V\ncontent-type=image/jpeg\nfile-name=photo.JPG\n"
            "note=\n");
  EXPECT_THAT(Run({"stat", id}).out, HasSubstr("camera=X100=V"));
  const Json stat = Json::parse(Run({"stat", id, "--json"}).out);
  EXPECT_EQ(stat["attributes"]["camera"], "X100=V");
  EXPECT_EQ(stat["attributes"]["file-name"], "photo.JPG");
  // What nobody said is not there.
  const std::string plain = Id(Run({"put", cli_.Path("photo.JPG")}));
  EXPECT_EQ(Run({"attributes", "get", plain}).out, "");
  EXPECT_THAT(Json::parse(Run({"stat", plain, "--json"}).out)["attributes"],
              IsEmpty());
  // What the user says counts.
  const std::string named = Id(Run({"put", cli_.Path("photo.JPG"), "--describe",
                                    "--attribute", "file-name=other"}));
  EXPECT_THAT(Run({"attributes", "get", named}).out,
              HasSubstr("file-name=other\n"));
}

TEST_F(CliTest, AFileExpiresAsItIsSaid) {
  const std::string id = Id(
      Run({"put", "-", "--expire-at", "2100-01-02T03:04:05+01:00"}, "content"));
  EXPECT_THAT(Run({"stat", id}).out, HasSubstr("2100-01-02T02:04:05Z"));
  EXPECT_EQ(Json::parse(Run({"stat", id, "--json"}).out)["expire_time"],
            "2100-01-02T02:04:05Z");
  const CliResult later = Run({"expire", id, "--in", "1d12h", "--json"});
  EXPECT_EQ(later.exit, 0) << later.err;
  const Json json = Json::parse(later.out);
  EXPECT_EQ(json["file_id"], id);
  EXPECT_EQ(json["replayed"], false);
  EXPECT_EQ(Json::parse(Run({"stat", id, "--json"}).out)["expire_time"],
            json["expire_time"]);
  EXPECT_EQ(Run({"expire", id, "--never"}).exit, 0);
  EXPECT_THAT(Run({"stat", id}).out, Not(HasSubstr("expires")));
  EXPECT_FALSE(
      Json::parse(Run({"stat", id, "--json"}).out).contains("expire_time"));

  const std::string week = Id(Run({"put", "-", "--expire-in", "7d"}, "x"));
  EXPECT_THAT(Run({"stat", week}).out, HasSubstr("expires"));
}

TEST_F(CliTest, ADeletedFileIsBroughtBackUnlessItIsPurged) {
  const std::string id = storage_.Add("content");
  const CliResult removed = Run({"rm", id});
  EXPECT_EQ(removed.exit, 0);
  EXPECT_THAT(removed.err, HasSubstr("until 2096-10-02T07:06:40Z"));
  const CliResult back = Run({"undelete", id, "--json"});
  EXPECT_EQ(back.exit, 0) << back.err;
  const Json json = Json::parse(back.out);
  EXPECT_EQ(json["file_id"], id);
  EXPECT_EQ(json["size_bytes"], 7);
  EXPECT_EQ(json["replayed"], false);
  EXPECT_EQ(Run({"get", id, "-o", "-"}).out, "content");
  const CliResult there = Run({"undelete", id});
  EXPECT_NE(there.exit, 0);
  EXPECT_THAT(there.err, HasSubstr("not deleted"));

  EXPECT_EQ(Json::parse(Run({"rm", id, "--json"}).out)["undelete_until"],
            "2096-10-02T07:06:40Z");
  const CliResult purged = Run({"rm", "--purge", id, "--json"});
  EXPECT_EQ(purged.exit, 0) << purged.err;
  EXPECT_FALSE(Json::parse(purged.out).contains("undelete_until"));
  EXPECT_EQ(Run({"undelete", id}).exit, 3);
  EXPECT_EQ(Run({"rm", "--purge", id}).exit, 3);
  EXPECT_EQ(Run({"undelete", id, id, "--request-id",
                 "11111111-1111-4111-8111-111111111111"})
                .exit,
            2);
}

TEST_F(CliTest, TimesThatAreNoneAreRefusedBeforeAnybodyIsAsked) {
  const std::string id = Id(Run({"put", "-"}, "x"));
  for (const char* text :
       {"", "0s", "-1h", "7", "1w", "d", "99999999d", "1.5d", "inf", "500ms"}) {
    EXPECT_EQ(Run({"expire", id, absl::StrCat("--in=", text)}).exit, 2) << text;
  }
  EXPECT_EQ(Run({"expire", id, "--at", "tomorrow"}).exit, 2);
  EXPECT_EQ(Run({"expire", id}).exit, 2);
  EXPECT_EQ(Run({"expire", id, "--never", "--in", "1h"}).exit, 2);
  EXPECT_EQ(Run({"put", "-", "--expire-in", "1h", "--expire-at",
                 "2100-01-02T03:04:05Z"},
                "x")
                .exit,
            2);
  EXPECT_THAT(Run({"stat", id}).out, Not(HasSubstr("expires")));
}

TEST_F(CliTest, AttributesAreSetMergedAndRemoved) {
  const std::string id = Id(Run({"put", "-"}, "x"));
  EXPECT_EQ(Run({"attributes", "set", id, "a=1", "b=2"}).exit, 0);
  EXPECT_EQ(Run({"attributes", "get", id}).out, "a=1\nb=2\n");
  const CliResult merged =
      Run({"attributes", "merge", id, "b=3", "c=4", "--remove", "a", "--json"});
  EXPECT_EQ(merged.exit, 0) << merged.err;
  EXPECT_EQ(Run({"attributes", "get", id}).out, "b=3\nc=4\n");
  const Json json = Json::parse(merged.out);
  EXPECT_EQ(json["file_id"], id);
  EXPECT_EQ(json["replayed"], false);
  const Json got = Json::parse(Run({"attributes", "get", id, "--json"}).out);
  EXPECT_EQ(got["version"], json["version"]);
  EXPECT_EQ(got["attributes"]["c"], "4");

  // Only what was seen is changed.
  EXPECT_EQ(Run({"attributes", "remove", id, "b", "--if-version", "1.1"}).exit,
            1);
  const std::string version = json["version"];
  EXPECT_EQ(
      Run({"attributes", "remove", id, "b", "--if-version", version}).exit, 0);
  EXPECT_EQ(Run({"attributes", "get", id}).out, "c=4\n");
  EXPECT_EQ(Run({"attributes", "set", id, "--none"}).exit, 0);
  EXPECT_EQ(Run({"attributes", "get", id}).out, "");
}

TEST_F(CliTest, AttributesThatAreNoneAreRefusedBeforeAnybodyIsAsked) {
  const std::string id = Id(Run({"put", "-"}, "x"));
  const int before = storage_.operations();
  EXPECT_EQ(Run({"attributes", "set", id}).exit, 2);
  EXPECT_EQ(Run({"attributes", "set", id, "a=1", "--none"}).exit, 2);
  EXPECT_EQ(Run({"attributes", "merge", id}).exit, 2);
  EXPECT_EQ(Run({"attributes", "merge", id, "a"}).exit, 2);
  EXPECT_EQ(Run({"attributes", "merge", id, "a=1", "a=2"}).exit, 2);
  EXPECT_EQ(Run({"attributes", "merge", id, "=1"}).exit, 2);
  const CliResult large =
      Run({"attributes", "merge", id, "a=" + std::string(1025, 'v')});
  EXPECT_EQ(large.exit, 1);
  EXPECT_THAT(large.err, HasSubstr("at most 1024"));
  EXPECT_EQ(Run({"attributes", "merge", id, "a=1", "--remove", "a"}).exit, 2);
  EXPECT_EQ(Run({"attributes", "remove", id, "a", "--if-version", "x"}).exit,
            2);
  EXPECT_EQ(storage_.operations(), before);
}

TEST_F(CliTest, ValuesThatAreNoTextDoNotReachTheTerminalAsTheyAre) {
  const std::string id =
      Id(Run({"put", "-", "--attribute", "a=\x1b[2J\xff"}, "x"));
  EXPECT_EQ(Run({"attributes", "get", id}).out, "a=\\033[2J\\377\n");
  const Json json = Json::parse(Run({"attributes", "get", id, "--json"}).out);
  EXPECT_EQ(json["attributes_base64"]["a"], "G1sySv8=");
}

TEST_F(CliTest, AFileGetsItsOriginalNameBackMadeSafe) {
  const std::string a =
      Id(Run({"put", "-", "--attribute", "file-name=../../.a b.txt"}, "one"));
  const std::string b = Id(Run({"put", "-"}, "two"));
  const std::string c =
      Id(Run({"put", "-", "--attribute", "file-name=a b.txt"}, "three"));
  const CliResult got = Run({"get", "-O", a, b, c, "-o", cli_.Path("out")});
  EXPECT_EQ(got.exit, 2) << "out is no folder yet";
  const CliResult good = Run({"get", "-O", a, b, c, "-o", cli_.Path("out/")});
  EXPECT_EQ(good.exit, 0) << good.err;
  EXPECT_EQ(cli_.ReadFile("out/a b.txt"), "one");
  EXPECT_THAT(cli_.FilesBelow("out"), SizeIs(3));
  // It replaces nothing.
  const CliResult again = Run({"get", "-O", c, "-o", cli_.Path("out")});
  EXPECT_EQ(again.exit, 1);
  EXPECT_THAT(again.err, HasSubstr("exists"));
  EXPECT_EQ(cli_.ReadFile("out/a b.txt"), "one");
}

TEST_F(CliTest, CapabilitiesSayWhatANodeAllows) {
  const CliResult text = Run({"capabilities"});
  EXPECT_EQ(text.exit, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("64 of a file, key 64 B, value 1.0 KiB"));
  const Json json = Json::parse(Run({"capabilities", "--json"}).out);
  EXPECT_EQ(json["address"], storage_.address());
  EXPECT_EQ(json["attributes_max"], 64);
  EXPECT_THAT(json["features"], ElementsAre("attributes"));
}

TEST_F(CliTest, StatOfflineAsksNobody) {
  const CliResult stat = cli_.Run({"stat", "--offline", kGoldenId, "--json"});
  EXPECT_EQ(stat.exit, 0) << stat.err;
  EXPECT_EQ(stat.out, cli_.Run({"decode", kGoldenId, "--json"}).out);
  const Json json = Json::parse(stat.out);
  EXPECT_EQ(json["kind"], "normal");
  EXPECT_TRUE(json.contains("size_bytes"));
}

TEST_F(CliTest, RangesAreThoseOfHttp) {
  const std::string id = Id(Run({"put", "-"}, "0123456789"));
  EXPECT_EQ(Run({"get", id, "-o", "-", "--range", "2-4"}).out, "234");
  EXPECT_EQ(Run({"get", id, "-o", "-", "--range", "7-"}).out, "789");
  EXPECT_EQ(Run({"get", id, "-o", "-", "--range=-3"}).out, "789");
  EXPECT_EQ(Run({"get", id, "-o", "-", "--range=-30"}).out, "0123456789");
  EXPECT_EQ(Run({"get", id, "-o", "-", "--range", "4-2"}).exit, 2);
  EXPECT_EQ(Run({"get", id, "-o", "-", "--range", "11-"}).exit, 1);
}

// The state of a download of `content` that has its first part, with this CRC.
std::string DownloadState(const std::string& id, const std::string& version,
                          const std::string& content, uint32_t part_crc) {
  return absl::StrFormat(
      "# cairn download 1\nfile\t%d\t%08x\t%s\t%s\npart\t0\t%d\t%08x\n",
      content.size(), Crc32c(content), version, id, 32 << 20, part_crc);
}

TEST_F(CliTest, GetResumeReadsOnlyWhatIsMissing) {
  std::string content(40 << 20, '\0');
  for (size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<char>(i * 31 + i / 4099);
  }
  const std::string id = storage_.Add(content);
  const std::string copy = cli_.Path("copy");
  const CliResult stat = Run({"stat", id, "--json"});
  ASSERT_EQ(stat.exit, 0) << stat.err;
  const std::string version = Json::parse(stat.out)["version"];
  const std::string first = content.substr(0, 32 << 20);

  // As a killed process leaves it: one part, and a beginning of the next one.
  cli_.WriteFile("copy.part", content.substr(0, 33 << 20));
  cli_.WriteFile("copy.part.state",
                 DownloadState(id, version, content, Crc32c(first)));
  CliResult got = Run({"get", id, "-o", copy, "--resume", "--streams", "3"});
  ASSERT_EQ(got.exit, 0) << got.err;
  EXPECT_THAT(got.err, HasSubstr("going on with"));
  EXPECT_TRUE(cli_.ReadFile("copy") == content);
  EXPECT_THAT(storage_.download_offsets(), ElementsAre(32 << 20));
  EXPECT_THAT(cli_.FilesBelow(""), ElementsAre("copy"));

  // Bytes that are not what the state says are read again.
  std::string damaged = first;
  damaged[1000] ^= 1;
  cli_.WriteFile("copy.part", damaged);
  cli_.WriteFile("copy.part.state",
                 DownloadState(id, version, content, Crc32c(first)));
  got = Run({"get", id, "-o", copy, "--resume"});
  ASSERT_EQ(got.exit, 0) << got.err;
  EXPECT_TRUE(cli_.ReadFile("copy") == content);
  EXPECT_THAT(storage_.download_offsets(), ElementsAre(32 << 20, 0, 32 << 20));

  // And so is everything of another version.
  cli_.WriteFile("copy.part", first);
  cli_.WriteFile("copy.part.state",
                 DownloadState(id, "1.1", content, Crc32c(first)));
  got = Run({"get", id, "-o", copy, "--resume"});
  ASSERT_EQ(got.exit, 0) << got.err;
  EXPECT_THAT(storage_.download_offsets(), SizeIs(5));
  EXPECT_TRUE(cli_.ReadFile("copy") == content);

  // What is right part by part and wrong as a whole is not left lying there.
  storage_.Damage(id);
  got = Run({"get", id, "-o", copy, "--resume"});
  EXPECT_EQ(got.exit, 5) << got.err;
  EXPECT_THAT(cli_.FilesBelow(""), ElementsAre("copy"));
}

TEST_F(CliTest, GetResumeKeepsWhatItHasWhenTheNodeIsGone) {
  const std::string content(40 << 20, 'x');
  const std::string id = storage_.Add(content);
  storage_.CutDownloads(1000000, 0);
  // Long enough for a slow machine to learn what the file is.
  CliResult got =
      Run({"get", id, "-o", cli_.Path("copy"), "--resume", "--timeout", "10s"});
  EXPECT_NE(got.exit, 0);
  EXPECT_THAT(cli_.FilesBelow(""), ElementsAre("copy.part", "copy.part.state"));
  storage_.CutDownloads(0, 0);
  got = Run({"get", id, "-o", cli_.Path("copy"), "--resume"});
  ASSERT_EQ(got.exit, 0) << got.err;
  EXPECT_TRUE(cli_.ReadFile("copy") == content);
}

TEST_F(CliTest, ResumeSaysWhatItCannotDo) {
  EXPECT_EQ(Run({"put", "-", "--resume"}, "x").exit, 2);
  cli_.WriteFile("a", "a");
  cli_.WriteFile("b", "b");
  EXPECT_EQ(Run({"put", cli_.Path("a"), "--journal", cli_.Path("j")}).exit, 2);
  EXPECT_EQ(Run({"put", cli_.Path("a"), "--streams", "2"}).exit, 2);
  EXPECT_EQ(Run({"put", cli_.Path("a"), cli_.Path("b"), "--resume", "--journal",
                 cli_.Path("j")})
                .exit,
            2);
  EXPECT_EQ(storage_.files(), 0u);
  // Small ones have nothing to go on with.
  const std::string id =
      Id(Run({"put", cli_.Path("a"), "--resume", "--journal", cli_.Path("j")}));
  EXPECT_THAT(cli_.FilesBelow(""), ElementsAre("a", "b"));
  EXPECT_EQ(Run({"get", id, "-o", "-", "--resume"}).exit, 2);
  EXPECT_EQ(Run({"get", id, "--resume", "--range", "0-0"}).exit, 2);
  EXPECT_EQ(Run({"get", id, "--streams", "2"}).exit, 2);
  const CliResult got = Run({"get", id, "-o", cli_.Path("copy"), "--resume"});
  EXPECT_EQ(got.exit, 0) << got.err;
  EXPECT_EQ(cli_.ReadFile("copy"), "a");
}

TEST_F(CliTest, AFolderComesBackByItsManifest) {
  cli_.WriteFile("in/a.txt", "first");
  cli_.WriteFile("in/deep/b.tar.gz", "second");
  cli_.WriteFile("in/deep/empty", "");
  cli_.WriteFile("in/odd\tname\\.txt", "third");
  const std::string list = cli_.Path("list");
  const CliResult put = Run({"put", "-r", cli_.Path("in"), "--manifest", list});
  EXPECT_EQ(put.exit, 0) << put.err;
  EXPECT_THAT(put.OutLines(), SizeIs(4));

  const CliResult got =
      Run({"get", "--manifest", list, "-o", cli_.Path("out")});
  EXPECT_EQ(got.exit, 0) << got.err;
  // The path as it was named, without its leading slash.
  const std::string root = absl::StrCat("out", cli_.folder(), "/in");
  EXPECT_THAT(
      cli_.FilesBelow(root),
      ElementsAre("a.txt", "deep/b.tar.gz", "deep/empty", "odd\tname\\.txt"));
  EXPECT_EQ(cli_.ReadFile(root + "/a.txt"), "first");
  EXPECT_EQ(cli_.ReadFile(root + "/deep/b.tar.gz"), "second");
  EXPECT_EQ(cli_.ReadFile(root + "/deep/empty"), "");

  const CliResult verified = Run({"verify", "--manifest", list});
  EXPECT_EQ(verified.exit, 0) << verified.err;
  EXPECT_THAT(verified.err, HasSubstr("4 of 4 files good"));

  EXPECT_EQ(Run({"rm", "--manifest", list}).exit, 0);
  EXPECT_EQ(storage_.files(), 0u);
  EXPECT_EQ(Run({"rm", "--manifest", list}).exit, 3);
  EXPECT_EQ(Run({"rm", "--manifest", list, "-f"}).exit, 0);
}

TEST_F(CliTest, AManifestIsNeverWrittenOverAnotherFile) {
  cli_.WriteFile("a.txt", "a");
  cli_.WriteFile("precious", "my diary\n");
  const CliResult put =
      Run({"put", cli_.Path("a.txt"), "--manifest", cli_.Path("precious")});
  EXPECT_EQ(put.exit, 1);
  EXPECT_EQ(cli_.ReadFile("precious"), "my diary\n");
  EXPECT_EQ(storage_.files(), 0u);
}

TEST_F(CliTest, AFolderWithoutRIsRefusedBeforeAnythingIsStored) {
  cli_.WriteFile("in/a.txt", "a");
  cli_.WriteFile("b.txt", "b");
  const CliResult put = Run({"put", cli_.Path("b.txt"), cli_.Path("in")});
  EXPECT_EQ(put.exit, 1);
  EXPECT_THAT(put.err, HasSubstr("add -r"));
  EXPECT_EQ(storage_.files(), 0u);
}

TEST_F(CliTest, ARepeatedPutWithARequestIdStoresNothingTwice) {
  cli_.WriteFile("a.txt", "a");
  const std::vector<std::string> put = {"put", cli_.Path("a.txt"),
                                        "--request-id",
                                        "01234567-89ab-4def-8123-456789abcdef"};
  EXPECT_EQ(Id(Run(put)), Id(Run(put)));
  EXPECT_EQ(storage_.files(), 1u);
}

TEST_F(CliTest, OneFileThatFailsDoesNotStopTheOthers) {
  const std::string good = storage_.Add("good");
  const CliResult got =
      Run({"get", good, kGoldenId, "-o", cli_.Path("out") + "/"});
  EXPECT_NE(got.exit, 0);
  EXPECT_THAT(cli_.FilesBelow("out"), SizeIs(1));
}

// ---- A file is there whole or not at all.

TEST_F(CliTest, ABrokenDownloadLeavesTheOldFileAndNothingElse) {
  const std::string id = storage_.Add(std::string(3 << 20, 'x'));
  cli_.WriteFile("out/file", "old");
  storage_.CutDownloads(1000, 0);  // Every attempt.
  const CliResult got =
      Run({"get", id, "-o", cli_.Path("out/file"), "--timeout", "2s"});
  EXPECT_EQ(got.exit, 4) << got.err;
  EXPECT_EQ(cli_.ReadFile("out/file"), "old");
  EXPECT_THAT(cli_.FilesBelow("out"), ElementsAre("file"));
}

TEST_F(CliTest, DamagedContentIsNamedAndNeverWritten) {
  const std::string id = storage_.Add(std::string(3 << 20, 'x'));
  storage_.Damage(id);
  const CliResult got = Run({"get", id, "-o", cli_.Path("out/file")});
  EXPECT_EQ(got.exit, 5) << got.err;
  EXPECT_THAT(cli_.FilesBelow("out"), IsEmpty());
  const CliResult verified = Run({"verify", id});
  EXPECT_EQ(verified.exit, 5);
  EXPECT_THAT(verified.err, HasSubstr(id));
}

TEST_F(CliTest, VerifyFindsAFileThatIsNotWhatTheManifestSays) {
  const std::string id = storage_.Add("new");
  cli_.WriteFile("list", absl::StrCat("# cairn manifest 1\n", id,
                                      "\t3\t00000000\tfile.txt\n"));
  EXPECT_EQ(Run({"verify", "--manifest", cli_.Path("list")}).exit, 5);
}

TEST_F(CliTest, AnInterruptedCommandEndsWith130AndWritesNothing) {
  const std::string id = storage_.Add("content");
  cli_.interrupt()->Raise();
  EXPECT_EQ(Run({"get", id, "-o", cli_.Path("out/file")}).exit, 130);
  EXPECT_EQ(Run({"get", id, "-o", "-"}).exit, 130);
  EXPECT_EQ(Run({"put", "-"}, "content").exit, 130);
  EXPECT_EQ(Run({"verify", id}).exit, 130);
  EXPECT_EQ(Run({"rm", id}).exit, 130);
  EXPECT_THAT(cli_.FilesBelow("out"), IsEmpty());
  EXPECT_EQ(storage_.files(), 1u);
}

TEST_F(CliTest, AManifestCannotWriteOutsideOfTheFolder) {
  const std::string id = storage_.Add("content");
  cli_.WriteFile("list",
                 absl::StrCat("# cairn manifest 1\n", id, "\t7\t", "00000000",
                              "\t../../evil/../x/../../escaped\n"));
  Run({"get", "--manifest", cli_.Path("list"), "-o", cli_.Path("a/b/out")});
  EXPECT_THAT(cli_.FilesBelow("a"), ElementsAre("b/out/escaped"));
}

// ---- What a script relies on.

TEST_F(CliTest, ExitCodesTellFailuresApart) {
  const std::string gone = storage_.Add("gone");
  EXPECT_EQ(Run({"rm", gone}).exit, 0);
  EXPECT_EQ(Run({"stat", gone}).exit, 3);
  EXPECT_EQ(Run({"rm", gone}).exit, 3);
  EXPECT_EQ(Run({"stat", kGoldenId}).exit, 1);  // Another cluster made it.
  EXPECT_EQ(Run({"rm", "no id"}).exit, 2);
  EXPECT_EQ(Run({"get", "no id"}).exit, 2);
  EXPECT_EQ(Run({"get"}).exit, 2);
  EXPECT_EQ(Run({"frobnicate"}).exit, 2);
  EXPECT_EQ(Run({"put", cli_.Path("missing")}).exit, 3);
  EXPECT_EQ(Run({"stat", kGoldenId, "--storage", "127.0.0.1:1"}).exit, 2);
  EXPECT_EQ(cli_.Run({"stat", kGoldenId}).exit, 2);
  EXPECT_EQ(cli_.Run({"--help"}).exit, 0);
  EXPECT_EQ(cli_.Run({"version"}).exit, 0);
  EXPECT_EQ(cli_.Run({"stat", kGoldenId, "--storage", "127.0.0.1:1",
                      "--timeout", "500ms"})
                .exit,
            4);
  EXPECT_EQ(cli_.Run({"nodes", "--tracker", "127.0.0.1:1"}).exit, 4);
}

TEST_F(CliTest, TrackersComeFromTheEnvironment) {
  const std::string id = storage_.Add("content");
  cli_.SetVariable("CAIRN_TRACKERS",
                   absl::StrCat(tracker_.address(), ",127.0.0.1:1"));
  EXPECT_EQ(cli_.Run({"stat", id}).exit, 0);
}

TEST_F(CliTest, AFullClusterIsUnavailableAndTheErrorSaysWhatToDo) {
  storage_.FailNext(
      1000, ErrorWithReason(absl::StatusCode::kResourceExhausted,
                            ErrorReason::kDiskFull, "the disk is full"));
  cli_.WriteFile("a.txt", "a");
  const CliResult put = Run({"put", cli_.Path("a.txt"), "--json"});
  EXPECT_EQ(put.exit, 4);
  EXPECT_THAT(put.err, HasSubstr("DISK_FULL"));
  EXPECT_THAT(put.err, HasSubstr("Free some room"));
  const Json error = Json::parse(put.out)["error"];
  EXPECT_EQ(error["reason"], "DISK_FULL");
  EXPECT_THAT(std::string(error["next_step"]), Not(IsEmpty()));
}

TEST_F(CliTest, EveryLineOfJsonIsAnObjectWithItsFields) {
  cli_.WriteFile("a.txt", "content");
  const Json put = Json::parse(Run({"put", cli_.Path("a.txt"), "--json"}).out);
  EXPECT_EQ(put["path"], cli_.Path("a.txt"));
  EXPECT_EQ(put["size_bytes"], 7);
  EXPECT_EQ(put["level"], "synced");
  const std::string id = put["file_id"];

  const Json stat = Json::parse(Run({"stat", id, "--json"}).out);
  EXPECT_EQ(stat["file_id"], id);
  EXPECT_EQ(stat["crc32c"], put["crc32c"]);
  EXPECT_EQ(stat["kind"], "normal");

  const Json verified = Json::parse(Run({"verify", id, "--json"}).out);
  EXPECT_EQ(verified["good"], true);

  const Json nodes = Json::parse(Run({"nodes", "--json"}).out);
  EXPECT_EQ(nodes["name"], "fake1");
  EXPECT_EQ(nodes["state"], "active");
  EXPECT_EQ(nodes["address"], storage_.address());

  const Json status = Json::parse(Run({"status", "--json"}).out);
  EXPECT_EQ(status["answering_trackers"], 1);
  EXPECT_EQ(status["active_nodes"], 1);

  const Json version = Json::parse(cli_.Run({"version", "--json"}).out);
  EXPECT_THAT(std::string(version["version"]), Not(IsEmpty()));

  const CliResult both = Run({"stat", id, kGoldenId, "--json"});
  EXPECT_EQ(both.exit, 1);
  ASSERT_THAT(both.OutLines(), SizeIs(2));
  EXPECT_EQ(Json::parse(both.OutLines()[1])["error"]["reason"],
            "FORGED_FILE_ID");
}

TEST_F(CliTest, NodesAndGroupsCanBeAskedOfAStorageAlone) {
  const CliResult nodes = cli_.Run({"nodes", "--storage", storage_.address()});
  EXPECT_EQ(nodes.exit, 0) << nodes.err;
  EXPECT_THAT(nodes.out, HasSubstr("fake1"));
  const CliResult groups =
      cli_.Run({"groups", "--storage", storage_.address()});
  EXPECT_EQ(groups.exit, 0) << groups.err;
  EXPECT_THAT(groups.out, HasSubstr("group1"));
}

TEST_F(CliTest, StatusNamesTheTrackerThatIsGone) {
  tracker_.Kill();
  const CliResult status = Run({"status", "--timeout", "500ms"});
  EXPECT_EQ(status.exit, 4);
  EXPECT_THAT(status.out, HasSubstr(tracker_.address()));
  EXPECT_THAT(status.out, HasSubstr("next: "));
}

// ---- decode and completion, without any server.

TEST_F(CliTest, DecodeReadsAnIdOffline) {
  const Json id = Json::parse(cli_.Run({"decode", kGoldenId, "--json"}).out);
  EXPECT_EQ(id["group"], "group1");
  EXPECT_EQ(id["store_path"], 0);
  EXPECT_EQ(id["node_number"], 3232235876);
  EXPECT_EQ(id["create_time"], "2026-01-01T00:00:00Z");
  EXPECT_EQ(id["kind"], "normal");
  EXPECT_EQ(id["size_bytes"], 4096);
  EXPECT_EQ(id["crc32c"], "e3069283");
  EXPECT_EQ(id["format"], 1);
  EXPECT_EQ(id["counter"], 7);
  EXPECT_EQ(cli_.Run({"decode", "group1/M00/nonsense"}).exit, 2);
}

TEST_F(CliTest, CompletionKnowsEveryCommand) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const CliResult script = cli_.Run({"completion", shell});
    EXPECT_EQ(script.exit, 0);
    for (const char* word : {"put", "verify", "bench", "recursive", "drain",
                             "restore", "secret-file", "standby"}) {
      EXPECT_THAT(script.out, HasSubstr(word)) << shell;
    }
  }
  cli_.WriteFile("cairn.bash", cli_.Run({"completion", "bash"}).out);
  EXPECT_EQ(
      std::system(absl::StrCat("bash -n ", cli_.Path("cairn.bash")).c_str()),
      0);
  EXPECT_EQ(cli_.Run({"completion", "tcsh"}).exit, 2);
}

// ---- bench.

TEST_F(CliTest, BenchRunsItsPhasesOnTheSameFiles) {
  const CliResult bench =
      Run({"bench", "put", "get", "stat", "mixed", "delete", "--count", "200",
           "--size", "uniform:0-8KiB", "--in-flight", "8", "--json"});
  EXPECT_EQ(bench.exit, 0) << bench.err;
  const Json report = Json::parse(bench.out);
  ASSERT_THAT(report["phases"], SizeIs(5));
  for (const Json& phase : report["phases"]) {
    EXPECT_EQ(phase["errors"], 0) << phase;
    EXPECT_GT(phase["operations"], 0) << phase;
    EXPECT_GT(phase["p50_us"], 0) << phase;
    EXPECT_GE(phase["p99_9_us"], phase["p50_us"]) << phase;
    EXPECT_TRUE(phase.contains("server_cpu_seconds_per_1000")) << phase;
  }
  EXPECT_EQ(report["phases"][1]["bytes"], report["phases"][0]["bytes"]);
}

TEST_F(CliTest, BenchPhasesCanRunApartOnAListOfFiles) {
  const std::string list = cli_.Path("list");
  EXPECT_EQ(Run({"bench", "put", "--count", "50", "--mode", "blocking",
                 "--in-flight", "4", "--files-out", list})
                .exit,
            0);
  EXPECT_EQ(storage_.files(), 50u);
  EXPECT_EQ(Run({"verify", "--manifest", list}).exit, 0);
  const CliResult get = Run({"bench", "get", "--files-in", list, "--json"});
  EXPECT_EQ(get.exit, 0) << get.err;
  cli_.WriteFile("old.json", get.out);
  const CliResult again = Run({"bench", "get", "delete", "--files-in", list,
                               "--compare", cli_.Path("old.json"), "--json"});
  EXPECT_EQ(again.exit, 0) << again.err;
  const Json report = Json::parse(again.out);
  EXPECT_GT(report["phases"][0]["ratio"]["operations_per_second"], 0);
  EXPECT_FALSE(report["phases"][1].contains("ratio"));
  EXPECT_EQ(report["files_left"], 0);
  EXPECT_EQ(storage_.files(), 0u);
}

TEST_F(CliTest, BenchStreamsLargeFilesAndChecksThem) {
  const CliResult bench = Run({"bench", "put", "get", "delete", "--count", "2",
                               "--size", "9MiB", "--in-flight", "2", "--json"});
  EXPECT_EQ(bench.exit, 0) << bench.err;
  EXPECT_EQ(Json::parse(bench.out)["phases"][1]["mode"], "blocking");
}

TEST_F(CliTest, BenchFindsWrongBytes) {
  const std::string list = cli_.Path("list");
  const std::string id = storage_.Add("content");
  cli_.WriteFile(
      "list", absl::StrCat("# cairn manifest 1\n", id, "\t7\t00000000\tx\n"));
  const CliResult bench = Run({"bench", "get", "--files-in", list, "--json"});
  EXPECT_EQ(bench.exit, 5);
  EXPECT_EQ(Json::parse(bench.out)["phases"][0]["damaged"], 1);
}

}  // namespace
}  // namespace cli
}  // namespace cairn
