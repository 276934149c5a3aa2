#include "clients/cli/format.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace cairn {
namespace cli {
namespace {

constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};

std::string FormatScaled(double value) {
  size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? absl::StrFormat("%.0f B", value)
                   : absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

// Digits only: a sign would make `A-B` ambiguous.
bool ParseOffset(absl::string_view text, int64_t* value) {
  return !text.empty() && absl::ascii_isdigit(text[0]) &&
         absl::SimpleAtoi(text, value);
}

}  // namespace

std::string FormatBytes(int64_t bytes) {
  return FormatScaled(static_cast<double>(bytes));
}

std::string FormatRate(double bytes_per_second) {
  return absl::StrCat(FormatScaled(bytes_per_second), "/s");
}

std::string FormatSpan(absl::Duration duration) {
  const int64_t seconds = absl::ToInt64Seconds(duration + absl::Seconds(0.5));
  if (seconds >= 3600) {
    return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60,
                           seconds % 60);
  }
  return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
}

std::string FormatCrc(uint32_t crc32c) {
  return absl::StrFormat("%08x", crc32c);
}

std::string FormatUtc(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

std::string Count(int64_t number, absl::string_view noun) {
  return absl::StrCat(number, " ", noun, number == 1 ? "" : "s");
}

absl::StatusOr<int64_t> ParseBytes(absl::string_view text) {
  const auto error = [text] {
    return absl::InvalidArgumentError(absl::StrCat(
        "`", text, "` is not a size: write 4096, 4KiB, 1MiB or 1.5GiB"));
  };
  size_t digits = 0;
  while (digits < text.size() &&
         (absl::ascii_isdigit(text[digits]) || text[digits] == '.')) {
    ++digits;
  }
  double value = 0;
  if (digits == 0 || !absl::SimpleAtod(text.substr(0, digits), &value)) {
    return error();
  }
  std::string unit =
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(text.substr(digits)));
  absl::string_view rest = unit;
  absl::ConsumeSuffix(&rest, "b");
  absl::ConsumeSuffix(&rest, "i");
  constexpr absl::string_view kPrefixes = "kmgtp";
  if (!rest.empty()) {
    const size_t power = kPrefixes.find(rest[0]);
    if (rest.size() != 1 || power == absl::string_view::npos) return error();
    value *= std::pow(1024.0, static_cast<double>(power) + 1);
  } else if (!unit.empty() && unit != "b") {
    return error();  // A lone `i`.
  }
  if (value > 9e18) return error();
  return static_cast<int64_t>(std::llround(value));
}

absl::StatusOr<ByteRange> ParseRange(absl::string_view text) {
  const absl::Status error = absl::InvalidArgumentError(absl::StrCat(
      "`", text,
      "` is not a range: write 0-99 for the first 100 bytes, 100- for all from "
      "byte 100 on, or -100 for the last 100"));
  const std::pair<absl::string_view, absl::string_view> ends =
      absl::StrSplit(text, absl::MaxSplits('-', 1));
  if (text.find('-') == absl::string_view::npos) return error;
  ByteRange range;
  int64_t first = 0;
  int64_t last = 0;
  if (ends.first.empty()) {
    if (!ParseOffset(ends.second, &last)) return error;
    range.length = last;
    return range;
  }
  if (!ParseOffset(ends.first, &first)) return error;
  range.offset = first;
  if (ends.second.empty()) return range;
  // One less than the largest number, so that there is one for the length.
  if (!ParseOffset(ends.second, &last) || last < first ||
      last == std::numeric_limits<int64_t>::max()) {
    return error;
  }
  range.length = last - first + 1;
  return range;
}

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(alignment_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::ToString() const {
  std::vector<size_t> widths(alignment_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - row[i].size(), ' ');
      if (i > 0) line.append(2, ' ');
      absl::StrAppend(&line, alignment_[i] == 'r' ? padding : "", row[i],
                      alignment_[i] == 'r' ? "" : padding);
    }
    absl::StrAppend(&out, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return out;
}

}  // namespace cli
}  // namespace cairn
