// What --print-grpcurl prints is run here by a real shell, with a grpcurl that
// writes down what it was called with. The requests must be what the services
// understand.

#include <google/protobuf/util/json_util.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cairn/storage/v1/batch_service.pb.h"
#include "cairn/storage/v1/file_service.pb.h"
#include "cairn/tracker/v1/tracker_service.pb.h"
#include "clients/cli/testing/cli_harness.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/checksum/crc32c.h"

namespace cairn {
namespace cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kId[] =
    "group1/M00/C2/A6/wKgBZGlVuQAAAAAAAAAQAOMGkoMBAAAHcFK1IdnM.jpg";

class GrpcurlTest : public ::testing::Test {
 protected:
  // Prints its last arguments and its requests to `calls`, and answers as a
  // tracker would.
  GrpcurlTest() {
    cli_.WriteFile(
        "bin/grpcurl",
        absl::StrCat("#!/bin/bash\n"
                     "data=$3\n"
                     "[ \"$data\" = @ ] && data=$(cat)\n"
                     "printf '%s\\n%s\\n' \"$4 $5\" \"$data\" >> ",
                     cli_.Path("calls"),
                     "\n"
                     "echo '{\"nodes\":[{\"identity\":{\"address\":\"n:1\"}}],"
                     "\"node\":{\"identity\":{\"address\":\"n:2\"}}}'\n"));
    EXPECT_EQ(std::system(
                  absl::StrCat("chmod +x ", cli_.Path("bin/grpcurl")).c_str()),
              0);
  }

  // Runs the printed lines; returns the lines of `calls`.
  std::vector<std::string> RunPrinted(std::vector<std::string> arguments) {
    arguments.push_back("--print-grpcurl");
    const CliResult printed = cli_.Run(arguments);
    EXPECT_EQ(printed.exit, 0) << printed.err;
    cli_.WriteFile("script", absl::StrCat("set -e -o pipefail\n", printed.out));
    EXPECT_EQ(
        std::system(absl::StrCat("PATH=", cli_.Path("bin"), ":$PATH bash ",
                                 cli_.Path("script"), " > ", cli_.Path("out"))
                        .c_str()),
        0)
        << printed.out;
    return absl::StrSplit(cli_.ReadFile("calls"), '\n', absl::SkipEmpty());
  }

  template <typename Message>
  static Message Parse(const std::string& json) {
    Message message;
    const auto status = google::protobuf::util::JsonStringToMessage(
        json, &message, google::protobuf::util::JsonParseOptions());
    EXPECT_TRUE(status.ok()) << status.ToString() << ": " << json;
    return message;
  }

  CliHarness cli_;
};

TEST_F(GrpcurlTest, StatGoesToTheNodeThatTheTrackerNames) {
  const auto calls = RunPrinted({"stat", kId, "--tracker", "t:1"});
  ASSERT_THAT(calls, SizeIs(4));
  EXPECT_EQ(calls[0], "t:1 cairn.tracker.v1.TrackerService/Locate");
  EXPECT_EQ(Parse<tracker::v1::LocateRequest>(calls[1]).file_id(), kId);
  EXPECT_EQ(calls[2], "n:1 cairn.storage.v1.FileService/Stat");
  EXPECT_EQ(Parse<storage::v1::StatRequest>(calls[3]).file_id(), kId);
}

TEST_F(GrpcurlTest, PutSendsTheWholeFileInChunksWithTheirChecksums) {
  std::string content;
  for (int i = 0; i < 100000; ++i) absl::StrAppend(&content, i, "'\n");
  cli_.WriteFile("it's.txt", content);
  const auto calls = RunPrinted(
      {"put", cli_.Path("it's.txt"), "--storage", "s:1", "--level", "cached"});
  ASSERT_THAT(calls, SizeIs(::testing::Gt(4u)));
  EXPECT_EQ(calls[0], "s:1 cairn.storage.v1.FileService/Upload");
  const auto spec = Parse<storage::v1::UploadRequest>(calls[1]).spec();
  EXPECT_EQ(spec.extension(), "txt");
  EXPECT_EQ(spec.size_bytes(), static_cast<int64_t>(content.size()));
  EXPECT_EQ(spec.durability().level(), common::v1::DURABILITY_LEVEL_CACHED);
  std::string sent;
  for (size_t i = 2; i + 1 < calls.size(); ++i) {
    const auto chunk = Parse<storage::v1::UploadRequest>(calls[i]).chunk();
    EXPECT_EQ(chunk.offset(), static_cast<int64_t>(sent.size()));
    EXPECT_EQ(chunk.crc32c(), Crc32c(chunk.data()));
    sent += chunk.data();
  }
  EXPECT_EQ(sent, content);
  EXPECT_EQ(Parse<storage::v1::UploadRequest>(calls.back()).finish().crc32c(),
            Crc32c(content));
}

TEST_F(GrpcurlTest, GetPutsTheChunksTogether) {
  cli_.WriteFile("bin/grpcurl",
                 "#!/bin/bash\n"
                 "echo '{\"info\":{}}{\"chunk\":{\"data\":\"aGVsbG8=\"}}'\n"
                 "echo '{\"chunk\":{\"data\":\"IHdvcmxk\"}}'\n");
  RunPrinted({"get", kId, "--storage", "s:1", "-o", cli_.Path("file")});
  EXPECT_EQ(cli_.ReadFile("file"), "hello world");
}

TEST_F(GrpcurlTest, ExpireSaysHowLong) {
  const auto expire =
      RunPrinted({"expire", kId, "--in", "2d", "--storage", "s:1"});
  EXPECT_EQ(expire[0], "s:1 cairn.storage.v1.FileService/SetExpiry");
  const auto expiry = Parse<storage::v1::SetExpiryRequest>(expire[1]);
  EXPECT_EQ(expiry.file_id(), kId);
  EXPECT_EQ(expiry.lifetime().time_to_live().seconds(), 2 * 24 * 3600);
}

TEST_F(GrpcurlTest, UndeletePurgeAndCompactNameTheirMethods) {
  const auto undelete = RunPrinted({"undelete", kId, "--storage", "s:1"});
  EXPECT_EQ(undelete[0], "s:1 cairn.storage.v1.FileService/Undelete");
  const auto request = Parse<storage::v1::UndeleteRequest>(undelete[1]);
  EXPECT_EQ(request.file_id(), kId);
  EXPECT_FALSE(request.request_id().empty());
  const auto rm = RunPrinted({"rm", "--purge", kId, "--storage", "s:1"});
  EXPECT_TRUE(Parse<storage::v1::DeleteRequest>(rm.back()).purge());
}

TEST_F(GrpcurlTest, TheOthersNameTheirMethods) {
  const auto rm = RunPrinted(
      {"rm", kId, "--storage", "s:1", "--replicas", "2", "--required"});
  EXPECT_EQ(rm[0], "s:1 cairn.storage.v1.FileService/Delete");
  const auto deletion = Parse<storage::v1::DeleteRequest>(rm[1]);
  EXPECT_EQ(deletion.file_id(), kId);
  EXPECT_EQ(deletion.durability().level(), common::v1::DURABILITY_LEVEL_SYNCED);
  EXPECT_EQ(deletion.durability().replicas(), 2u);
  EXPECT_EQ(deletion.durability().policy(),
            common::v1::REPLICA_POLICY_REQUIRED);
  for (const auto& [command, method] :
       std::vector<std::pair<std::string, std::string>>{
           {"nodes", "TrackerService/ListNodes"},
           {"groups", "TrackerService/ListGroups"},
           {"status", "NodeService/GetState"}}) {
    EXPECT_THAT(cli_.Run({command, "--tracker", "t:1", "--print-grpcurl"}).out,
                HasSubstr(method));
  }
  const auto bench = RunPrinted({"bench", "get", "--storage", "s:1"});
  EXPECT_EQ(Parse<storage::v1::RunRequest>(bench.back()).items_size(), 1);
}

TEST_F(GrpcurlTest, NamesTheFilesOfTls) {
  const std::vector<std::string> arguments = {"stat",
                                              kId,
                                              "--tracker",
                                              "t:1",
                                              "--tls-ca",
                                              "/it's/ca.pem",
                                              "--tls-cert",
                                              "me.pem",
                                              "--tls-key",
                                              "me.key",
                                              "--tls-server-name",
                                              "cairn",
                                              "--print-grpcurl"};
  const CliResult printed = cli_.Run(arguments);
  EXPECT_EQ(printed.exit, 0) << printed.err;
  EXPECT_THAT(printed.out, Not(HasSubstr("-plaintext")));
  const std::string expected =
      "grpcurl -cacert '/it'\\''s/ca.pem' -cert 'me.pem' -key 'me.key' "
      "-servername 'cairn' -d ";
  EXPECT_THAT(printed.out, HasSubstr("NODE=$(" + expected));
  EXPECT_THAT(printed.out, HasSubstr("\n" + expected));

  cli_.SetVariable("CAIRN_TLS_CA", "/ca.pem");
  for (const char* command : {"nodes", "groups", "status", "version"}) {
    EXPECT_THAT(cli_.Run({command, "--tracker", "t:1", "--print-grpcurl"}).out,
                HasSubstr("grpcurl -cacert '/ca.pem' "))
        << command;
  }
  cli_.WriteFile("file", "content");
  EXPECT_THAT(cli_.Run({"put", cli_.Path("file"), "--storage", "s:1",
                        "--print-grpcurl"})
                  .out,
              AllOf(HasSubstr("| grpcurl -cacert '/ca.pem' -d @ "),
                    Not(HasSubstr("-plaintext"))));
}

TEST_F(GrpcurlTest, WhatTlsLacksIsNamed) {
  CliResult result =
      cli_.Run({"stat", kId, "--tracker", "t:1", "--tls-server-name", "n"});
  EXPECT_EQ(result.exit, 2);
  EXPECT_THAT(result.err, HasSubstr("--tls-ca"));
  cli_.SetVariable("CAIRN_TLS_CA", "/ca.pem");
  result = cli_.Run({"stat", kId, "--tracker", "t:1", "--tls-cert", "me.pem"});
  EXPECT_EQ(result.exit, 2);
  EXPECT_THAT(result.err, HasSubstr("--tls-key"));
  result = cli_.Run({"stat", kId, "--tracker", "127.0.0.1:1"});
  EXPECT_EQ(result.exit, 3);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("tls.ca_file"), HasSubstr("/ca.pem")));
}

}  // namespace
}  // namespace cli
}  // namespace cairn
