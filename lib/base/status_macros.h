// Early return on a failed Status or StatusOr, and context for an error.

#ifndef CAIRN_LIB_BASE_STATUS_MACROS_H_
#define CAIRN_LIB_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn {

// `status` with `context: ` before its message; code and payloads stay. OK
// stays OK. Add context once per layer, outermost first.
absl::Status WithContext(const absl::Status& status, absl::string_view context);

namespace internal {
inline const absl::Status& StatusOf(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}
}  // namespace internal
}  // namespace cairn

#define CAIRN_RETURN_IF_ERROR(expression)         \
  do {                                            \
    absl::Status cairn_status = (expression);     \
    if (ABSL_PREDICT_FALSE(!cairn_status.ok())) { \
      return cairn_status;                        \
    }                                             \
  } while (false)

#define CAIRN_STATUS_CONCAT_INNER(a, b) a##b
#define CAIRN_STATUS_CONCAT(a, b) CAIRN_STATUS_CONCAT_INNER(a, b)

// CAIRN_ASSIGN_OR_RETURN(auto value, MakeValue());
#define CAIRN_ASSIGN_OR_RETURN(target, expression) \
  CAIRN_ASSIGN_OR_RETURN_INNER(                    \
      CAIRN_STATUS_CONCAT(cairn_status_or_, __LINE__), target, expression)

#define CAIRN_ASSIGN_OR_RETURN_INNER(result, target, expression) \
  auto result = (expression);                                    \
  if (ABSL_PREDICT_FALSE(!result.ok())) {                        \
    return ::cairn::internal::StatusOf(result);                  \
  }                                                              \
  target = *std::move(result)

#endif  // CAIRN_LIB_BASE_STATUS_MACROS_H_
