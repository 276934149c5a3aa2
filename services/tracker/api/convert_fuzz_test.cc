// Whatever another tracker or a node says: of decisions those that are valid
// are merged, in any order to the same, and what is said of a node can be
// passed on.
//
// The first byte chooses the message.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cairn/tracker/v1/membership_service.pb.h"
#include "lib/base/check.h"
#include "services/tracker/api/convert.h"
#include "services/tracker/core/decisions.h"

namespace cairn {
namespace tracker {
namespace {

// In the year 9999, the last that there is.
constexpr int64_t kUnixMsEnd = 253402300000000;

void TryDecisions(const v1::ExchangePage& page) {
  Decisions forwards;
  Decisions backwards;
  const int count = page.decisions_size();
  for (int i = 0; i < count; ++i) {
    const Decision decision = DecisionFromProto(page.decisions(i));
    if (!ValidateDecision(decision).ok()) continue;
    CAIRN_CHECK(decision.reason.size() <= kDecisionReasonMax);
    CAIRN_CHECK(decision.text.size() <= kDecisionTextMax);
    CAIRN_CHECK(DecisionFromProto(ToProto(decision)) == decision);
    forwards.Merge(decision);
    CAIRN_CHECK(!forwards.Merge(decision));  // Once is enough.
    const Decision* const found =
        forwards.Find(decision.key.field, decision.key.subject);
    CAIRN_CHECK(found != nullptr && !(found->time < decision.time));
    // Whoever decides next is behind it, while there is time left.
    if (decision.time.unix_ms < kUnixMsEnd) {
      CAIRN_CHECK(decision.time <
                  forwards.NextTime(absl::UnixEpoch(), "tracker"));
    }
  }
  for (int i = count; i > 0; --i) {
    const Decision decision = DecisionFromProto(page.decisions(i - 1));
    if (ValidateDecision(decision).ok()) backwards.Merge(decision);
  }
  CAIRN_CHECK(forwards.all().size() == backwards.all().size());
}

void TryWord(const v1::NodeWord& word) {
  const NodeWord said = WordFromProto(word);
  CAIRN_CHECK(said.age >= absl::ZeroDuration());
  for (const StorePathStatus& path : said.status.store_paths) {
    CAIRN_CHECK(path.space.total_bytes >= 0 && path.space.free_bytes >= 0);
    CAIRN_CHECK(path.space.reserve_bytes >= 0 && path.file_bytes >= 0);
  }
  const NodeWord again = WordFromProto(ToProto(said));
  CAIRN_CHECK(again.identity.node_uuid == said.identity.node_uuid);
  CAIRN_CHECK(again.status.weight == said.status.weight);
  CAIRN_CHECK(again.status.store_paths.size() ==
              said.status.store_paths.size());
}

}  // namespace
}  // namespace tracker
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn::tracker;  // NOLINT: the one function outside of it
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    v1::ExchangePage page;
    if (page.ParseFromString(bytes)) TryDecisions(page);
  } else {
    v1::NodeWord word;
    if (word.ParseFromString(bytes)) TryWord(word);
  }
  return 0;
}
