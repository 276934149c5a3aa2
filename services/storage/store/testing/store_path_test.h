// The fixture of tests that open one store path on a disk in memory.

#ifndef CAIRN_SERVICES_STORAGE_STORE_TESTING_STORE_PATH_TEST_H_
#define CAIRN_SERVICES_STORAGE_STORE_TESTING_STORE_PATH_TEST_H_

#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/error_reason.h"
#include "lib/testing/crashable_file_system.h"
#include "lib/testing/fake_clock.h"
#include "lib/testing/status_matchers.h"
#include "services/storage/store/engine.h"
#include "services/storage/store/options.h"

namespace cairn {
namespace storage {

MATCHER_P(HasReason, reason, "has the reason") {
  const absl::Status& status = cairn::internal::GetStatus(arg);
  *result_listener << status.ToString();
  return ReasonOf(status) == reason;
}

// Path and content of every file of a disk.
using DiskImage = std::map<std::string, std::string>;

DiskImage TakeImage(CrashableFileSystem* fs);

// A disk that durably holds what the image says.
std::unique_ptr<CrashableFileSystem> MakeDisk(const DiskImage& image);

class StorePathTest : public ::testing::Test {
 protected:
  // A small path at /disk that does nothing by itself in the background.
  StorePathTest();

  void Open();
  void Reopen();

  // A rule as in lib/io/fault_rules.h.
  void Fail(absl::string_view rule);

  CrashableFileSystem fs_{1};
  FakeClock clock_;
  StorePathOptions options_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace storage
}  // namespace cairn

#endif  // CAIRN_SERVICES_STORAGE_STORE_TESTING_STORE_PATH_TEST_H_
