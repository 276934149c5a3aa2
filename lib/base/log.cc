#include "lib/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace cairn {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

struct Logger {
  Logger()
      : spdlog(std::make_shared<spdlog::logger>(
            "cairn", std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
    spdlog->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %L %v");
    spdlog->flush_on(spdlog::level::debug);
  }
  std::shared_ptr<spdlog::logger> spdlog;
  LogFormat format = LogFormat::kText;
};

// Never destroyed: threads may log while the process exits.
Logger& TheLogger() {
  static Logger* const logger = new Logger;
  return *logger;
}

std::string JsonEscape(const std::string& text) {
  std::string out;
  out.reserve(text.size() + 8);
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&out, "\\u00", absl::Hex(c, absl::kZeroPad2));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// The part of the path that a reader needs.
const char* BaseName(const char* file) {
  const char* base = file;
  for (const char* p = file; *p != '\0'; ++p) {
    if (*p == '/') base = p + 1;
  }
  return base;
}

}  // namespace

void InitLogging(LogLevel level, LogFormat format) {
  Logger& logger = TheLogger();
  logger.format = format;
  if (format == LogFormat::kJson) logger.spdlog->set_pattern("%v");
  SetLogLevel(level);
}

void SetLogLevel(LogLevel level) {
  TheLogger().spdlog->set_level(ToSpdlog(level));
}

bool LogEnabled(LogLevel level) {
  return TheLogger().spdlog->should_log(ToSpdlog(level));
}

void LogLine(LogLevel level, const char* component, const char* file, int line,
             const std::string& text) {
  Logger& logger = TheLogger();
  if (logger.format == LogFormat::kText) {
    logger.spdlog->log(ToSpdlog(level), "{}: {} ({}:{})", component, text,
                       BaseName(file), line);
    return;
  }
  const std::string now =
      absl::FormatTime(absl::RFC3339_full, absl::Now(), absl::UTCTimeZone());
  logger.spdlog->log(
      ToSpdlog(level),
      R"({{"time":"{}","level":"{}","component":"{}","message":"{}","source":"{}:{}"}})",
      now, spdlog::level::to_string_view(ToSpdlog(level)), component,
      JsonEscape(text), BaseName(file), line);
}

}  // namespace cairn
