// SHA-256, by OpenSSL: what tells whether two contents are the same where
// somebody may have made one to look like another.

#ifndef CAIRN_LIB_CHECKSUM_SHA256_H_
#define CAIRN_LIB_CHECKSUM_SHA256_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace cairn {

inline constexpr size_t kSha256Bytes = 32;

// Of bytes that come one after the other. Not thread-safe.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();

  Sha256Stream(const Sha256Stream&) = delete;
  Sha256Stream& operator=(const Sha256Stream&) = delete;

  void Update(absl::string_view data);
  void Update(const absl::Cord& data);

  // The kSha256Bytes of all that came. Once, and the last call.
  std::string Finish();

 private:
  struct Context;
  const std::unique_ptr<Context> context_;
};

std::string Sha256(absl::string_view data);

}  // namespace cairn

#endif  // CAIRN_LIB_CHECKSUM_SHA256_H_
