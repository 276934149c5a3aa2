#include "lib/fault/fault_point.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "lib/base/log.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace {

// Points register while static objects are made, in no known order, so this
// must be there before all of them.
ABSL_CONST_INIT FaultPoint* head = nullptr;

Mutex& RegistryMutex() {
  static Mutex* const mu = new Mutex;
  return *mu;
}

absl::StatusOr<absl::StatusCode> ParseCode(absl::string_view name) {
  for (int code = 1; code <= 16; ++code) {
    const auto candidate = static_cast<absl::StatusCode>(code);
    if (absl::StatusCodeToString(candidate) == name) return candidate;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no such status code: '", name, "'"));
}

}  // namespace

// What needs to see the inside of the points.
class FaultPointRegistry {
 public:
  using Arming = FaultPoint::Arming;

  static absl::StatusOr<Arming> ParseArming(absl::string_view text);

  static FaultPoint* Find(absl::string_view name) {
    for (FaultPoint* point = head; point != nullptr; point = point->next_) {
      if (name == point->name_) return point;
    }
    return nullptr;
  }

  static void Arm(FaultPoint* point, const Arming& arming) {
    MutexLock lock(&RegistryMutex());
    point->arming_ = arming;
    point->armed_.store(true, std::memory_order_relaxed);
  }

  static void DisarmAll() {
    for (FaultPoint* point = head; point != nullptr; point = point->next_) {
      point->armed_.store(false, std::memory_order_relaxed);
    }
  }

  static std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (FaultPoint* point = head; point != nullptr; point = point->next_) {
      names.emplace_back(point->name_);
    }
    std::sort(names.begin(), names.end());
    return names;
  }
};

absl::StatusOr<FaultPoint::Arming> FaultPointRegistry::ParseArming(
    absl::string_view text) {
  Arming arming;
  const size_t at = text.find('@');
  if (at != absl::string_view::npos) {
    absl::string_view count = text.substr(at + 1);
    arming.from_then_on = absl::ConsumeSuffix(&count, "+");
    if (!absl::SimpleAtoi(count, &arming.nth) || arming.nth == 0) {
      return absl::InvalidArgumentError("after '@' comes a number from 1 on");
    }
    text = text.substr(0, at);
  }
  if (text == "error") {
    arming.action = FaultPoint::Action::kError;
  } else if (absl::ConsumePrefix(&text, "error:")) {
    CAIRN_ASSIGN_OR_RETURN(arming.code, ParseCode(text));
  } else if (text == "abort") {
    arming.action = FaultPoint::Action::kAbort;
  } else if (absl::ConsumePrefix(&text, "delay:")) {
    arming.action = FaultPoint::Action::kDelay;
    if (!absl::ParseDuration(text, &arming.delay) ||
        arming.delay < absl::ZeroDuration()) {
      return absl::InvalidArgumentError(
          absl::StrCat("no such time: '", text, "'"));
    }
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "no such action: '", text, "' (error, error:CODE, delay:TIME, abort)"));
  }
  return arming;
}

FaultPoint::FaultPoint(const char* name)
    : name_(name), next_(std::exchange(head, this)) {}

absl::Status FaultPoint::PassArmed() {
  Arming due;
  {
    MutexLock lock(&RegistryMutex());
    ++arming_.passed;
    if (arming_.from_then_on ? arming_.passed < arming_.nth
                             : arming_.passed != arming_.nth) {
      return absl::OkStatus();
    }
    due = arming_;
  }
  CAIRN_LOG(kWarning, "fault", "fault point reached name={} pass={}", name_,
            due.passed);
  switch (due.action) {
    case Action::kDelay:
      absl::SleepFor(due.delay);
      return absl::OkStatus();
    case Action::kAbort:
      // Nothing may run any more: no handler, no destructor, no flush.
      ::kill(::getpid(), SIGKILL);
      while (true) ::pause();
    case Action::kError:
      break;
  }
  return absl::Status(due.code, absl::StrCat("fault point ", name_));
}

absl::Status EnableFaultPoints(absl::string_view list) {
  std::vector<std::pair<FaultPoint*, FaultPointRegistry::Arming>> parsed;
  for (absl::string_view item : absl::StrSplit(list, ';', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(item, absl::MaxSplits('=', 1));
    FaultPoint* const point = FaultPointRegistry::Find(parts.first);
    if (point == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "fault point '", item, "': no point has this name; there are ",
          absl::StrJoin(FaultPointNames(), ", ")));
    }
    auto arming = FaultPointRegistry::ParseArming(parts.second);
    if (!arming.ok()) {
      return WithContext(arming.status(),
                         absl::StrCat("fault point '", item, "'"));
    }
    parsed.emplace_back(point, *arming);
  }
  for (const auto& [point, arming] : parsed) {
    FaultPointRegistry::Arm(point, arming);
  }
  return absl::OkStatus();
}

void DisableFaultPoints() { FaultPointRegistry::DisarmAll(); }

std::vector<std::string> FaultPointNames() {
  return FaultPointRegistry::Names();
}

}  // namespace cairn
