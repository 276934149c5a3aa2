#include "lib/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace cairn {

void CheckFailed(const char* file, int line, const char* condition,
                 absl::string_view detail) {
  // Not the logger: it may hold the very lock whose invariant is broken.
  std::fprintf(stderr, "%s:%d: check failed: %s%s%.*s%s\n", file, line,
               condition, detail.empty() ? "" : " (",
               static_cast<int>(detail.size()), detail.data(),
               detail.empty() ? "" : ")");
  std::fflush(stderr);
  std::abort();
}

}  // namespace cairn
