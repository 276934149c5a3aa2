// CHECK: our own broken invariants, in release too. The world fails as a
// Status.

#ifndef CAIRN_LIB_BASE_CHECK_H_
#define CAIRN_LIB_BASE_CHECK_H_

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Prints `file:line: check failed: condition (detail)` to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              absl::string_view detail = "");

}  // namespace cairn

#define CAIRN_CHECK(condition)  \
  (ABSL_PREDICT_TRUE(condition) \
       ? (void)0                \
       : ::cairn::CheckFailed(__FILE__, __LINE__, #condition))

// `detail` is anything that converts to absl::string_view.
#define CAIRN_CHECK_MSG(condition, detail) \
  (ABSL_PREDICT_TRUE(condition)            \
       ? (void)0                           \
       : ::cairn::CheckFailed(__FILE__, __LINE__, #condition, detail))

#define CAIRN_CHECK_OK(expression)                                           \
  do {                                                                       \
    const absl::Status cairn_check_status = (expression);                    \
    CAIRN_CHECK_MSG(cairn_check_status.ok(), cairn_check_status.ToString()); \
  } while (false)

#endif  // CAIRN_LIB_BASE_CHECK_H_
