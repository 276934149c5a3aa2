// Logging: one event, one line, key=value, for people during an incident.
//
//   CAIRN_LOG(kWarning, "store", "path is read-only path={} error={}", i, e);
//
// ERROR: someone must act. WARNING: handled but unusual, always with a counter
// too. INFO: state changes, a handful a minute. DEBUG: per request, off. Never
// user data, never under a lock. {fmt} syntax; absl::string_view, absl::Status
// and Uuid can be arguments.

#ifndef CAIRN_LIB_BASE_LOG_H_
#define CAIRN_LIB_BASE_LOG_H_

#include <spdlog/fmt/fmt.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "lib/base/uuid.h"

namespace cairn {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// What a line looks like. Text is for a terminal, JSON for a collector.
enum class LogFormat { kText, kJson };

// Until this is called, lines at INFO and above go to stderr as text. Call it
// once, early in main().
void InitLogging(LogLevel level, LogFormat format);

// May be called at any time from any thread.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

// Writes one line to stderr. Thread-safe.
void LogLine(LogLevel level, const char* component, const char* file, int line,
             const std::string& text);

}  // namespace cairn

#define CAIRN_LOG(level, component, ...)                              \
  do {                                                                \
    if (::cairn::LogEnabled(::cairn::LogLevel::level)) {              \
      ::cairn::LogLine(::cairn::LogLevel::level, component, __FILE__, \
                       __LINE__, ::fmt::format(__VA_ARGS__));         \
    }                                                                 \
  } while (false)

template <>
struct fmt::formatter<absl::string_view> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(absl::string_view text, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(
        fmt::string_view(text.data(), text.size()), context);
  }
};

template <>
struct fmt::formatter<absl::Status> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(const absl::Status& status, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(status.ToString(), context);
  }
};

template <>
struct fmt::formatter<cairn::Uuid> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(const cairn::Uuid& uuid, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(uuid.ToString(), context);
  }
};

#endif  // CAIRN_LIB_BASE_LOG_H_
