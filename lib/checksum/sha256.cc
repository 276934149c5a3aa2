#include "lib/checksum/sha256.h"

#include <openssl/evp.h>

#include "lib/base/check.h"

namespace cairn {

struct Sha256Stream::Context {
  EVP_MD_CTX* const evp = EVP_MD_CTX_new();

  ~Context() { EVP_MD_CTX_free(evp); }
};

// OpenSSL fails here only without memory, or without its own SHA-256.
Sha256Stream::Sha256Stream() : context_(std::make_unique<Context>()) {
  CAIRN_CHECK(context_->evp != nullptr);
  CAIRN_CHECK(EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr) == 1);
}

Sha256Stream::~Sha256Stream() = default;

void Sha256Stream::Update(absl::string_view data) {
  CAIRN_CHECK(EVP_DigestUpdate(context_->evp, data.data(), data.size()) == 1);
}

void Sha256Stream::Update(const absl::Cord& data) {
  for (const absl::string_view chunk : data.Chunks()) Update(chunk);
}

std::string Sha256Stream::Finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CAIRN_CHECK(EVP_DigestFinal_ex(context_->evp, digest, &size) == 1);
  CAIRN_CHECK(size == kSha256Bytes);
  return std::string(reinterpret_cast<const char*>(digest), size);
}

std::string Sha256(absl::string_view data) {
  Sha256Stream stream;
  stream.Update(data);
  return stream.Finish();
}

}  // namespace cairn
