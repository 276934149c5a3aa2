// SHA-256 against the values of FIPS 180-2, however the bytes come.

#include "lib/checksum/sha256.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(Sha256Test, GivesThePublishedValues) {
  EXPECT_EQ(absl::BytesToHexString(Sha256("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(absl::BytesToHexString(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(absl::BytesToHexString(Sha256(std::string(1000000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, ItIsTheSameHoweverTheBytesCome) {
  const std::string bytes(100000, 'x');
  for (const size_t piece : {size_t{1}, size_t{63}, size_t{64}, size_t{65}}) {
    Sha256Stream of_views;
    Sha256Stream of_cords;
    absl::Cord cord;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      of_views.Update(bytes.substr(at, piece));
      cord.Append(bytes.substr(at, piece));
    }
    of_cords.Update(cord);
    EXPECT_EQ(of_views.Finish(), Sha256(bytes));
    EXPECT_EQ(of_cords.Finish(), Sha256(bytes));
  }
}

}  // namespace
}  // namespace cairn
