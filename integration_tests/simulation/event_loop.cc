#include "integration_tests/simulation/event_loop.h"

#include <algorithm>
#include <cstdio>

#include "lib/base/check.h"

namespace cairn {
namespace simulation {

EventLoop::EventLoop(uint64_t seed, bool print)
    : print_(print), random_(seed) {}

void EventLoop::After(absl::Duration delay, Event event) {
  const absl::Duration at = now_ + std::max(delay, absl::ZeroDuration());
  queue_.emplace(std::make_pair(at, added_++), std::move(event));
}

bool EventLoop::Step() {
  if (queue_.empty()) return false;
  auto next = queue_.extract(queue_.begin());
  now_ = next.key().first;
  ++events_;
  next.mapped()();
  return true;
}

void EventLoop::RunFor(absl::Duration duration) {
  const absl::Duration end = now_ + duration;
  while (!queue_.empty() && queue_.begin()->first.first <= end) Step();
  now_ = end;
}

uint64_t EventLoop::Draw(uint64_t limit) {
  CAIRN_CHECK(limit > 0);
  return random_() % limit;
}

bool EventLoop::Chance(double probability) {
  return static_cast<double>(Draw(1000000)) < probability * 1e6;
}

absl::Duration EventLoop::Between(absl::Duration least, absl::Duration most) {
  const int64_t span = absl::ToInt64Microseconds(most - least);
  return least + absl::Microseconds(static_cast<int64_t>(Draw(
                     static_cast<uint64_t>(std::max<int64_t>(span, 0) + 1))));
}

Uuid EventLoop::DrawUuid() {
  const absl::StatusOr<Uuid> uuid = Uuid::FromBytes(DrawBytes(16));
  CAIRN_CHECK(uuid.ok());
  return *uuid;
}

std::string EventLoop::DrawBytes(size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(Draw(256));
  return bytes;
}

void EventLoop::Note(absl::string_view line) {
  const int64_t micros = absl::ToInt64Microseconds(now_);
  const auto mix = [this](const char* data, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      hash_ = (hash_ ^ static_cast<unsigned char>(data[i])) * 1099511628211u;
    }
  };
  mix(reinterpret_cast<const char*>(&micros), sizeof(micros));
  mix(line.data(), line.size());
  if (!print_) return;
  std::printf("%12.6f  %.*s\n", static_cast<double>(micros) / 1e6,
              static_cast<int>(line.size()), line.data());
}

}  // namespace simulation
}  // namespace cairn
