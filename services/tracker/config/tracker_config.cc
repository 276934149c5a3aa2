#include "services/tracker/config/tracker_config.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/config/complaints.h"
#include "lib/config/daemon_config.h"
#include "lib/file_id/file_id.h"
#include "lib/placement/cluster_model.h"

namespace cairn {
namespace tracker {
namespace {

void CheckPolicy(const v1::PlacementPolicy& policy, Complaints* complaints) {
  if (policy.group_policy() == v1::GROUP_POLICY_FIXED &&
      !ValidateGroupName(policy.fixed_group()).ok()) {
    complaints->Add("policy.fixed_group",
                    "must name a group when group_policy is "
                    "GROUP_POLICY_FIXED");
  }
  for (const auto& [group, weight] : policy.group_weights()) {
    if (!ValidateGroupName(group).ok()) {
      complaints->Add("policy.group_weights",
                      absl::StrCat("`", group, "` is not a group's name"));
    }
    if (weight > kWeightMax) {
      complaints->Add(
          "policy.group_weights",
          absl::StrCat("`", group, "`: ", weight, " is above ", kWeightMax));
    }
  }
}

}  // namespace

TrackerConfig WithDefaults(TrackerConfig config) {
  SetDaemonDefaults("tracker", "127.0.0.1:7700", absl::Seconds(5), &config);
  if (!config.has_suspect_after()) {
    config.mutable_suspect_after()->set_seconds(3);
  }
  if (!config.has_offline_after()) {
    config.mutable_offline_after()->set_seconds(10);
  }
  if (!config.has_exchange_interval()) {
    config.mutable_exchange_interval()->set_seconds(1);
  }
  return config;
}

absl::Status ValidateConfig(const TrackerConfig& config) {
  Complaints complaints;
  if (config.data_dir().empty()) {
    complaints.Add("data_dir",
                   "must name a directory, such as /var/lib/cairn/tracker");
  } else if (!absl::StartsWith(config.data_dir(), "/")) {
    complaints.Add("data_dir",
                   absl::StrCat("`", config.data_dir(), "` must begin with /"));
  }
  CheckDaemonConfig(config, &complaints);
  CheckPolicy(config.policy(), &complaints);

  const absl::Duration suspect = FromProto(config.suspect_after());
  complaints.CheckRange("suspect_after", suspect, absl::Milliseconds(100),
                        absl::Hours(1));
  complaints.CheckRange("offline_after", FromProto(config.offline_after()),
                        suspect, absl::Hours(24));
  complaints.CheckRange("exchange_interval",
                        FromProto(config.exchange_interval()),
                        absl::Milliseconds(10), absl::Minutes(1));
  return complaints.status();
}

}  // namespace tracker
}  // namespace cairn
