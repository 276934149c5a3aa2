#include "clients/cli/completion.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace cairn {
namespace cli {
namespace {

using Commands = std::vector<CompletionCommand>;
using Flags = std::vector<CompletionFlag>;

std::string Names(const Flags& flags) {
  return absl::StrJoin(flags, " ",
                       [](std::string* out, const CompletionFlag& flag) {
                         absl::StrAppend(out, flag.name);
                       });
}

std::string Names(const Commands& commands) {
  return absl::StrJoin(commands, " ",
                       [](std::string* out, const CompletionCommand& command) {
                         absl::StrAppend(out, command.name);
                       });
}

// For a word in single quotes that zsh or fish shows.
std::string Quoted(const std::string& help) {
  return absl::StrReplaceAll(
      help, {{"'", ""}, {"[", "("}, {"]", ")"}, {":", " -"}, {"\n", " "}});
}

// `case` lines that offer the values of flags that have fixed ones, and local
// files for those that have not.
std::string BashValueCases(const Flags& flags) {
  std::string cases;
  for (const CompletionFlag& flag : flags) {
    if (!flag.takes_value) continue;
    absl::StrAppend(
        &cases, "        ", flag.name, ") COMPREPLY=( $(compgen ",
        flag.values.empty()
            ? "-f"
            : absl::StrCat("-W \"", absl::StrJoin(flag.values, " "), "\""),
        " -- \"$word\") ); return ;;\n");
  }
  return cases;
}

std::string Bash(const Commands& commands, const Flags& global_flags) {
  std::string script =
      "# bash completion for cairn; load with: source <(cairn completion "
      "bash)\n"
      "_cairn() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} "
      "before=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local command= candidate\n"
      "  for candidate in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case $candidate in\n";
  absl::StrAppend(
      &script, "      ", absl::StrReplaceAll(Names(commands), {{" ", "|"}}),
      ") command=$candidate; break ;;\n    esac\n  done\n",
      "  case $before in\n", BashValueCases(global_flags), "  esac\n",
      "  case $command in\n    '') COMPREPLY=( $(compgen -W \"",
      Names(commands), " ", Names(global_flags), "\" -- \"$word\") ) ;;\n");
  for (const CompletionCommand& command : commands) {
    absl::StrAppend(&script, "    ", command.name, ")\n      case $before in\n",
                    BashValueCases(command.flags), "      esac\n",
                    "      if [[ $word == -* ]]; then\n",
                    "        COMPREPLY=( $(compgen -W \"", Names(command.flags),
                    " ", Names(global_flags), "\" -- \"$word\") )\n");
    if (!command.words.empty()) {
      absl::StrAppend(
          &script, "      else\n        COMPREPLY=( $(compgen -W \"",
          absl::StrJoin(command.words, " "), "\" -- \"$word\") )\n");
    } else if (command.takes_files) {
      absl::StrAppend(
          &script,
          "      else\n        COMPREPLY=( $(compgen -f -- \"$word\") )\n");
    }
    absl::StrAppend(&script, "      fi ;;\n");
  }
  absl::StrAppend(&script,
                  "  esac\n}\ncomplete -o filenames -F _cairn cairn\n");
  return script;
}

void AppendZshFlags(const Flags& flags, std::string* script) {
  for (const CompletionFlag& flag : flags) {
    std::string value;
    if (flag.takes_value) {
      value =
          flag.values.empty()
              ? ":value:_files"
              : absl::StrCat(":value:(", absl::StrJoin(flag.values, " "), ")");
    }
    absl::StrAppend(script, "        '*", flag.name, "[", Quoted(flag.help),
                    "]", value, "' \\\n");
  }
}

std::string Zsh(const Commands& commands, const Flags& global_flags) {
  std::string script =
      "#compdef cairn\n"
      "# zsh completion for cairn; load with: source <(cairn completion zsh)\n"
      "_cairn() {\n"
      "  local -a commands\n  commands=(\n";
  for (const CompletionCommand& command : commands) {
    absl::StrAppend(&script, "    '", command.name, ":", Quoted(command.help),
                    "'\n");
  }
  absl::StrAppend(&script, "  )\n  local command=${words[(r)(",
                  absl::StrReplaceAll(Names(commands), {{" ", "|"}}),
                  ")]}\n  case $command in\n    '')\n      _arguments \\\n");
  AppendZshFlags(global_flags, &script);
  absl::StrAppend(
      &script,
      "        '1: :{_describe command commands}' '*::: :->rest' ;;\n");
  for (const CompletionCommand& command : commands) {
    absl::StrAppend(&script, "    ", command.name, ")\n      _arguments \\\n");
    AppendZshFlags(command.flags, &script);
    AppendZshFlags(global_flags, &script);
    const std::string rest =
        !command.words.empty()
            ? absl::StrCat("(", absl::StrJoin(command.words, " "), ")")
            : (command.takes_files ? "_files" : "( )");
    absl::StrAppend(&script, "        '*:argument:", rest, "' ;;\n");
  }
  absl::StrAppend(&script, "  esac\n}\ncompdef _cairn cairn\n");
  return script;
}

void AppendFishFlags(const std::string& condition, const Flags& flags,
                     std::string* script) {
  for (const CompletionFlag& flag : flags) {
    const bool is_long = absl::StartsWith(flag.name, "--");
    absl::StrAppend(script, "complete -c cairn", condition,
                    is_long ? " -l " : " -s ",
                    absl::StripPrefix(absl::StripPrefix(flag.name, "-"), "-"));
    if (flag.takes_value) absl::StrAppend(script, " -r");
    if (!flag.values.empty()) {
      absl::StrAppend(script, " -f -a '", absl::StrJoin(flag.values, " "), "'");
    }
    absl::StrAppend(script, " -d '", Quoted(flag.help), "'\n");
  }
}

std::string Fish(const Commands& commands, const Flags& global_flags) {
  std::string script =
      "# fish completion for cairn; load with: cairn completion fish | source\n"
      "complete -c cairn -f\n";
  AppendFishFlags("", global_flags, &script);
  for (const CompletionCommand& command : commands) {
    absl::StrAppend(&script, "complete -c cairn -n __fish_use_subcommand -a ",
                    command.name, " -d '", Quoted(command.help), "'\n");
    const std::string condition =
        absl::StrCat(" -n '__fish_seen_subcommand_from ", command.name, "'");
    AppendFishFlags(condition, command.flags, &script);
    if (command.takes_files) {
      absl::StrAppend(&script, "complete -c cairn", condition, " -F\n");
    }
    if (!command.words.empty()) {
      absl::StrAppend(&script, "complete -c cairn", condition, " -a '",
                      absl::StrJoin(command.words, " "), "'\n");
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(const std::string& shell,
                             const std::vector<CompletionCommand>& commands,
                             const std::vector<CompletionFlag>& global_flags) {
  if (shell == "bash") return Bash(commands, global_flags);
  if (shell == "zsh") return Zsh(commands, global_flags);
  if (shell == "fish") return Fish(commands, global_flags);
  return "";
}

}  // namespace cli
}  // namespace cairn
