// Configuration of a program: a Protobuf message, read from a text file and
// changed by `--set field=value`.
//
//   StorageConfig config;
//   CAIRN_RETURN_IF_ERROR(LoadConfigFile("storage.conf", &config));
//   CAIRN_RETURN_IF_ERROR(ApplyOverride("limits.io_threads=8", &config));
//   CAIRN_RETURN_IF_ERROR(ValidateX(config));   // The program's own.
//
// The message's .proto file is the reference: its comments say what each field
// means, its unit and its default. Errors are for people: they name the file,
// the line, the field and what to write instead.

#ifndef CAIRN_LIB_CONFIG_CONFIG_H_
#define CAIRN_LIB_CONFIG_CONFIG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace cairn {

// Reads `text` in Protobuf's text format into `config`, which is replaced.
// `source` names the text in errors.
//   INVALID_ARGUMENT  `source:line:column: what is wrong`; all mistakes.
absl::Status ParseConfigText(absl::string_view text, absl::string_view source,
                             google::protobuf::Message* config);

// The same from a file.
//   NOT_FOUND         there is no such file, or it cannot be read.
//   INVALID_ARGUMENT  as ParseConfigText().
absl::Status LoadConfigFile(absl::string_view path,
                            google::protobuf::Message* config);

// Changes one field. `assignment` is one of
//
//   field=value            a text needs no quotes
//   outer.field=value      inside a message, which is made if it is missing
//   list[2].field=value    inside an element that exists
//   list=value             the whole list is this one element
//   list+=value            one more; a message is written as {a: 1 b: "x"}
//
//   INVALID_ARGUMENT  the field does not exist or the value does not fit.
absl::Status ApplyOverride(absl::string_view assignment,
                           google::protobuf::Message* config);

// The message in text format, as LoadConfigFile() reads it, but for fields
// whose name ends in "secret": their text is replaced.
std::string PrintConfig(const google::protobuf::Message& config);

}  // namespace cairn

#endif  // CAIRN_LIB_CONFIG_CONFIG_H_
