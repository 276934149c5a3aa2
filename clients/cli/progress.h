// How far a transfer is: a bar with rate and time left on a terminal, a plain
// line every few seconds elsewhere.
//
//   photos  ████████████░░░░░░░░  61%  1.2 GiB / 2.0 GiB  312.4 MiB/s  0:03
//   left

#ifndef CAIRN_CLIENTS_CLI_PROGRESS_H_
#define CAIRN_CLIENTS_CLI_PROGRESS_H_

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "lib/base/clock.h"

namespace cairn {
namespace cli {

enum class ProgressStyle { kNone, kPlain, kBar };

// The counting is thread-safe, the drawing belongs to one thread.
class Progress {
 public:
  // `verb` as in "storing". `columns` of the terminal. Borrows both pointers.
  Progress(ProgressStyle style, std::string verb, int columns, std::FILE* out,
           Clock* clock);

  // Erases the bar.
  ~Progress();

  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // What there is to do; without total_bytes, no share and no time left.
  void SetTotal(int64_t files, absl::optional<int64_t> bytes);

  // `bytes` may be negative: a transfer that began again.
  void AddBytes(int64_t bytes) { bytes_ += bytes; }
  void AddFiles(int64_t files) { files_ += files; }
  void AddFile() { AddFiles(1); }

  int64_t bytes() const { return bytes_; }
  int64_t files() const { return files_; }
  absl::Duration elapsed() const;

  // Draws if it is time to: ten times a second a bar, every five seconds a
  // plain line.
  void Tick();

  // Erases the bar, so that something else can be printed; Tick() draws it
  // again.
  void Hide();

  // The line, now, for `columns`.
  std::string Line(int columns) const;

 private:
  double BytesPerSecond() const;

  const ProgressStyle style_;
  const std::string verb_;
  const int columns_;
  std::FILE* const out_;
  Clock* const clock_;
  const absl::Duration start_;

  int64_t total_files_ = 0;
  absl::optional<int64_t> total_bytes_;
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> files_{0};

  absl::Duration drawn_;  // When, by the monotonic clock.
  bool visible_ = false;
};

}  // namespace cli
}  // namespace cairn

#endif  // CAIRN_CLIENTS_CLI_PROGRESS_H_
