// Whatever is in a manifest of an export, in a list of an import or in a token:
// it is refused, or what it says can be written and read again.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "clients/cli/export_manifest.h"
#include "clients/cli/group_tokens.h"
#include "lib/base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<cairn::cli::Export> exported =
      cairn::cli::ParseExport(text);
  if (exported.ok()) {
    std::string again = cairn::cli::ExportHeading();
    for (const auto& [id, file] : exported->files) {
      again += cairn::cli::ExportLine(file);
    }
    again += cairn::cli::ExportTokenLine(exported->tokens);
    const absl::StatusOr<cairn::cli::Export> same =
        cairn::cli::ParseExport(again);
    CAIRN_CHECK(same.ok());
    CAIRN_CHECK(same->files.size() == exported->files.size());
    CAIRN_CHECK(same->tokens == exported->tokens);
  }
  const absl::StatusOr<cairn::cli::ImportMap> map =
      cairn::cli::ParseImportMap(text);
  if (map.ok() && !map->new_ids.empty()) {
    std::string again = cairn::cli::ImportHeading(map->import);
    for (const auto& [old_id, new_id] : map->new_ids) {
      again += cairn::cli::ImportLine(old_id, new_id);
    }
    const absl::StatusOr<cairn::cli::ImportMap> same =
        cairn::cli::ParseImportMap(again);
    CAIRN_CHECK(same.ok() && same->new_ids == map->new_ids);
  }
  const absl::StatusOr<cairn::cli::GroupTokens> tokens =
      cairn::cli::ParseGroupTokens(text);
  if (tokens.ok()) {
    const absl::StatusOr<cairn::cli::GroupTokens> same =
        cairn::cli::ParseGroupTokens(cairn::cli::FormatGroupTokens(*tokens));
    CAIRN_CHECK(same.ok() && *same == *tokens);
  }
  return 0;
}
