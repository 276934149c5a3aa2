#include "clients/cli/progress.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cli/format.h"

namespace cairn {
namespace cli {
namespace {

constexpr int kBarCells = 20;
constexpr absl::Duration kBarInterval = absl::Milliseconds(100);
constexpr absl::Duration kPlainInterval = absl::Seconds(5);

// Back to the first column, and erase to the end of the line.
constexpr char kEraseLine[] = "\r\x1b[K";

}  // namespace

Progress::Progress(ProgressStyle style, std::string verb, int columns,
                   std::FILE* out, Clock* clock)
    : style_(style),
      verb_(std::move(verb)),
      columns_(columns),
      out_(out),
      clock_(clock),
      start_(clock->Monotonic()),
      drawn_(start_) {}

Progress::~Progress() { Hide(); }

void Progress::SetTotal(int64_t files, absl::optional<int64_t> bytes) {
  total_files_ = files;
  total_bytes_ = bytes;
}

absl::Duration Progress::elapsed() const {
  return clock_->Monotonic() - start_;
}

void Progress::Tick() {
  if (style_ == ProgressStyle::kNone) return;
  const absl::Duration now = clock_->Monotonic();
  if (style_ == ProgressStyle::kBar) {
    if (now - drawn_ < kBarInterval) return;
    absl::FPrintF(out_, "%s%s", kEraseLine, Line(columns_));
    visible_ = true;
  } else {
    if (now - drawn_ < kPlainInterval) return;
    absl::FPrintF(out_, "%s\n", Line(0));
  }
  std::fflush(out_);
  drawn_ = now;
}

void Progress::Hide() {
  if (!visible_) return;
  absl::FPrintF(out_, "%s", kEraseLine);
  std::fflush(out_);
  visible_ = false;
}

double Progress::BytesPerSecond() const {
  const double seconds = absl::ToDoubleSeconds(elapsed());
  return seconds <= 0 ? 0 : static_cast<double>(bytes()) / seconds;
}

std::string Progress::Line(int columns) const {
  const int64_t done = std::max<int64_t>(0, bytes());
  const double rate = BytesPerSecond();
  std::string line = verb_;
  if (total_files_ > 1) {
    absl::StrAppendFormat(&line, " %d/%d files", files(), total_files_);
  } else if (files() > 0) {
    absl::StrAppendFormat(&line, " %d files", files());
  }
  if (total_bytes_.has_value() && *total_bytes_ > 0) {
    const double share = std::min(
        1.0, static_cast<double>(done) / static_cast<double>(*total_bytes_));
    if (columns >= 80) {
      line += "  ";
      const int full = static_cast<int>(share * kBarCells);
      for (int i = 0; i < kBarCells; ++i) line += i < full ? "█" : "░";
    }
    absl::StrAppendFormat(&line, "  %.0f%%  %s / %s", share * 100,
                          FormatBytes(done), FormatBytes(*total_bytes_));
    absl::StrAppend(&line, "  ", FormatRate(rate));
    if (rate > 0 && done < *total_bytes_) {
      const double left = static_cast<double>(*total_bytes_ - done) / rate;
      absl::StrAppend(&line, "  ",
                      left > 359999 ? ">99 h" : FormatSpan(absl::Seconds(left)),
                      " left");
    }
  } else if (done > 0 || files() == 0) {
    absl::StrAppend(&line, "  ", FormatBytes(done), "  ", FormatRate(rate));
  }
  return line;
}

}  // namespace cli
}  // namespace cairn
