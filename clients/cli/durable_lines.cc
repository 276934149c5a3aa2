#include "clients/cli/durable_lines.h"

#include "lib/base/status_macros.h"

namespace cairn {
namespace cli {

void DurableLines::Add(absl::string_view text) {
  waiting_.append(text.data(), text.size());
}

absl::Status DurableLines::Sync() {
  if (waiting_.empty()) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(file_->WriteAt(size_, {waiting_}));
  CAIRN_RETURN_IF_ERROR(file_->Sync());
  size_ += static_cast<int64_t>(waiting_.size());
  waiting_.clear();
  return absl::OkStatus();
}

}  // namespace cli
}  // namespace cairn
