#include "lib/config/config.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "lib/base/error_reason.h"
#include "lib/base/status_macros.h"

namespace cairn {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

absl::Status Invalid(absl::string_view message) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument,
                         ErrorReason::kInvalidField, message);
}

// Edits that make one of the other.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1,
                         diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// `; did you mean 'listen'?`, or the names that there are.
std::string Suggestion(const Descriptor* type, absl::string_view name) {
  std::string best;
  size_t best_distance = 4;
  std::vector<std::string> all;
  for (int i = 0; i < type->field_count(); ++i) {
    const std::string& candidate = type->field(i)->name();
    all.push_back(candidate);
    const size_t distance = Distance(name, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  if (!best.empty()) return absl::StrCat("; did you mean '", best, "'?");
  return absl::StrCat("; there are: ", absl::StrJoin(all, ", "));
}

// The type of that name among `type` and what is inside it.
const Descriptor* FindType(const Descriptor* type, absl::string_view full_name,
                           std::vector<const Descriptor*>* seen) {
  if (std::find(seen->begin(), seen->end(), type) != seen->end()) {
    return nullptr;
  }
  seen->push_back(type);
  if (type->full_name() == std::string(full_name)) return type;
  for (int i = 0; i < type->field_count(); ++i) {
    const Descriptor* const inner = type->field(i)->message_type();
    if (inner == nullptr) continue;
    if (const Descriptor* found = FindType(inner, full_name, seen)) {
      return found;
    }
  }
  return nullptr;
}

// Protobuf's `Message type "a.B" has no field named "x".` for people.
std::string ForPeople(const Descriptor* root, absl::string_view message) {
  const std::vector<std::string> parts = absl::StrSplit(message, '"');
  if (parts.size() < 4 || !absl::StrContains(message, "has no field named")) {
    return std::string(message);
  }
  std::vector<const Descriptor*> seen;
  const Descriptor* const type = FindType(root, parts[1], &seen);
  if (type == nullptr) return std::string(message);
  return absl::StrCat("there is no field '", parts[3], "' here",
                      Suggestion(type, parts[3]));
}

class CollectErrors : public google::protobuf::io::ErrorCollector {
 public:
  CollectErrors(absl::string_view source, const Descriptor* root)
      : source_(source), root_(root) {}

  void AddError(int line, int column, const std::string& message) override {
    errors_.push_back(absl::StrCat(source_, ":", line + 1, ":", column + 1,
                                   ": ", ForPeople(root_, message)));
  }

  const std::vector<std::string>& errors() const { return errors_; }

 private:
  const std::string source_;
  const Descriptor* const root_;
  std::vector<std::string> errors_;
};

void Redact(Message* message) {
  const Reflection* const reflection = message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (field->is_repeated()) {
        for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
          Redact(reflection->MutableRepeatedMessage(message, field, i));
        }
      } else {
        Redact(reflection->MutableMessage(message, field));
      }
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING &&
               !field->is_repeated() &&
               absl::EndsWith(field->name(), "secret")) {
      reflection->SetString(message, field, "(not shown)");
    }
  }
}

// What a value of the field looks like, for an error.
std::string Expected(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return "a whole number";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number, not negative";
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::vector<std::string> names;
      for (int i = 0; i < field->enum_type()->value_count(); ++i) {
        names.push_back(field->enum_type()->value(i)->name());
      }
      return absl::StrCat("one of ", absl::StrJoin(names, ", "));
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return "a text";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "a message, {field: value ...}";
  }
  return "a value";
}

}  // namespace

absl::Status ParseConfigText(absl::string_view text, absl::string_view source,
                             Message* config) {
  CollectErrors errors(source, config->GetDescriptor());
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  if (parser.ParseFromString(std::string(text), config)) {
    return absl::OkStatus();
  }
  return Invalid(absl::StrJoin(errors.errors(), "\n"));
}

absl::Status LoadConfigFile(absl::string_view path, Message* config) {
  std::ifstream in(std::string(path), std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in.is_open() || in.bad()) {
    return absl::NotFoundError(
        absl::StrCat("cannot read the configuration file ", path,
                     ": does it exist, and may this user read it?"));
  }
  return ParseConfigText(text.str(), path, config);
}

absl::Status ApplyOverride(absl::string_view assignment, Message* config) {
  const size_t equals = assignment.find('=');
  if (equals == absl::string_view::npos || equals == 0) {
    return Invalid(
        absl::StrCat("--set ", assignment, ": write --set field=value"));
  }
  absl::string_view path = assignment.substr(0, equals);
  const absl::string_view value = assignment.substr(equals + 1);
  const bool append = absl::EndsWith(path, "+");
  if (append) path.remove_suffix(1);
  const auto fail = [&](absl::string_view why) {
    return Invalid(absl::StrCat("--set ", assignment, ": ", why));
  };

  Message* message = config;
  const std::vector<std::string> steps = absl::StrSplit(path, '.');
  for (size_t i = 0; i < steps.size(); ++i) {
    absl::string_view name = steps[i];
    int index = -1;
    if (const size_t bracket = name.find('[');
        bracket != absl::string_view::npos) {
      if (!absl::EndsWith(name, "]") ||
          !absl::SimpleAtoi(name.substr(bracket + 1, name.size() - bracket - 2),
                            &index) ||
          index < 0) {
        return fail(absl::StrCat("'", name, "' is not name[index]"));
      }
      name = name.substr(0, bracket);
    }
    const Descriptor* const type = message->GetDescriptor();
    const FieldDescriptor* const field =
        type->FindFieldByName(std::string(name));
    if (field == nullptr) {
      return fail(absl::StrCat("there is no field '", name, "'",
                               Suggestion(type, name)));
    }
    const Reflection* const reflection = message->GetReflection();

    if (i + 1 < steps.size()) {
      if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
        return fail(absl::StrCat("'", name, "' has no fields inside"));
      }
      if (!field->is_repeated()) {
        if (index >= 0) {
          return fail(absl::StrCat("'", name, "' is not a list"));
        }
        message = reflection->MutableMessage(message, field);
      } else if (index < 0 || index >= reflection->FieldSize(*message, field)) {
        return fail(absl::StrCat(
            "'", name, "' has ", reflection->FieldSize(*message, field),
            " elements: write ", name, "[0] for the first, or ", name,
            "+={...} for one more"));
      } else {
        message = reflection->MutableRepeatedMessage(message, field, index);
      }
      continue;
    }

    if (index >= 0) {
      return fail("an element cannot be replaced: set its fields, or the list");
    }
    if (append && !field->is_repeated()) {
      return fail(absl::StrCat("'", name, "' is not a list: write '='"));
    }
    // Into a copy, so that a value that does not fit changes nothing.
    std::unique_ptr<Message> changed(message->New());
    changed->CopyFrom(*message);
    if (!append) reflection->ClearField(changed.get(), field);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      if (field->is_repeated()) {
        reflection->AddString(changed.get(), field, std::string(value));
      } else {
        reflection->SetString(changed.get(), field, std::string(value));
      }
    } else {
      CollectErrors errors("", type);
      TextFormat::Parser parser;
      parser.RecordErrorsTo(&errors);
      if (!parser.ParseFieldValueFromString(std::string(value), field,
                                            changed.get())) {
        return fail(absl::StrCat("'", value, "' is not ", Expected(field)));
      }
    }
    message->CopyFrom(*changed);
  }
  return absl::OkStatus();
}

std::string PrintConfig(const Message& config) {
  std::unique_ptr<Message> copy(config.New());
  copy->CopyFrom(config);
  Redact(copy.get());
  TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  std::string out;
  printer.PrintToString(*copy, &out);
  return out;
}

}  // namespace cairn
