/**
 * Completion scripts for shells, made from the tree of commands itself: words, options, and the values of options that
 * have a fixed set. Nothing is asked of a cluster while somebody types.
 */
import type { Command, Option } from "commander";
import { unreachable } from "../base/assert.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** One command as a shell sees it. */
interface Node {
  /** Words after `holdfast`, joined by blanks; empty for the program. */
  readonly path: string;
  readonly summary: string;
  readonly children: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly Flag[];
}

interface Flag {
  /** `-n`, `--nonblock`: one or both. */
  readonly words: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

export function completionScript(shell: Shell, program: Command): string {
  const nodes = nodesOf(program, "");
  switch (shell) {
    case "bash":
      return bash(nodes);
    case "zsh":
      return zsh(nodes);
    case "fish":
      return fish(nodes);
    default:
      return unreachable(shell);
  }
}

function nodesOf(command: Command, path: string): readonly Node[] {
  const children = command.commands.map((child) => ({ name: child.name(), summary: child.summary() }));
  // Help can be asked of every command; commander keeps that option apart.
  const options = [...command.options.filter(({ hidden }) => !hidden).map(flagOf), helpFlag];
  const node: Node = { path, summary: command.summary(), children, options };
  const below = command.commands.flatMap((child) => nodesOf(child, `${path} ${child.name()}`.trim()));
  return [node, ...below];
}

const helpFlag: Flag = {
  words: ["-h", "--help"],
  description: "print this help",
  takesValue: false,
  choices: [],
};

function flagOf(option: Option): Flag {
  const { short, long, description, required, optional, argChoices } = option;
  return {
    words: [short, long].filter((word) => word !== undefined && word !== null),
    description,
    takesValue: required || optional,
    choices: argChoices ?? [],
  };
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * Finds the longest path of known words before the cursor, then offers what follows it. What stands after `--` is
 * another program's, and is left to file names.
 */
function bash(nodes: readonly Node[]): string {
  const words = nodes.map(
    ({ path, children, options }) =>
      `    ${quoted(path)}) echo ${quoted([...children.map(({ name }) => name), ...options.flatMap((flag) => flag.words)].join(" "))} ;;`,
  );
  const values = nodes.flatMap(({ path, options }) =>
    options.flatMap(({ words: flags, choices, takesValue }) =>
      takesValue
        ? flags.map((flag) => `    ${quoted(`${path} ${flag}`.trim())}) echo ${quoted(choices.join(" "))} ;;`)
        : [],
    ),
  );
  return `# bash completion for holdfast: eval "$(holdfast completion bash)"
_holdfast_words() {
  case "$1" in
${words.join("\n")}
  esac
}
_holdfast_values() {
  case "$1" in
${values.join("\n")}
    *) return 1 ;;
  esac
}
_holdfast() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" path="" next word values
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [ "$word" = "--" ] && { COMPREPLY=($(compgen -f -- "$current")); return; }
    next="\${path:+$path }$word"
    [ -n "$(_holdfast_words "$next")" ] && path="$next"
  done
  if values="$(_holdfast_values "\${path:+$path }$before")"; then
    if [ -n "$values" ]; then COMPREPLY=($(compgen -W "$values" -- "$current"))
    else COMPREPLY=($(compgen -f -- "$current")); fi
    return
  fi
  COMPREPLY=($(compgen -W "$(_holdfast_words "$path")" -- "$current"))
}
complete -F _holdfast holdfast
`;
}

/** Colons and brackets have a meaning in what _describe and _arguments read. */
function zshText(text: string): string {
  return text.replace(/[[\]:\\]/g, "\\$&");
}

function zsh(nodes: readonly Node[]): string {
  const functions = nodes.map(({ path, children, options }) => {
    const specs = options.map(({ words, description, takesValue, choices }) => {
      const text = `[${zshText(description)}]`;
      const value = takesValue ? `:value:${choices.length > 0 ? `(${choices.join(" ")})` : "_files"}` : "";
      if (words.length === 1) return quoted(`${words[0]}${text}${value}`);
      return `${quoted(`(${words.join(" ")})`)}{${words.join(",")}}${quoted(`${text}${value}`)}`;
    });
    const name = functionName(path);
    if (children.length === 0) {
      return `${name}() {\n  _arguments -s \\\n    ${[...specs, "'*::: :_default'"].join(" \\\n    ")}\n}`;
    }
    const listed = children.map((child) => `    ${quoted(`${child.name}:${zshText(child.summary)}`)}`);
    const cases = children.map(
      (child) => `      ${child.name}) ${functionName(`${path} ${child.name}`.trim())} ;;`,
    );
    return `${name}() {
  local state
  local -a commands=(
${listed.join("\n")}
  )
  _arguments -C \\
    ${[...specs, "'1: :->command'", "'*:: :->rest'"].join(" \\\n    ")}
  case $state in
    command) _describe command commands ;;
    rest) case $words[1] in
${cases.join("\n")}
    esac ;;
  esac
}`;
  });
  return `#compdef holdfast
# zsh completion for holdfast: eval "$(holdfast completion zsh)"
${functions.join("\n")}
compdef _holdfast holdfast
`;
}

function functionName(path: string): string {
  return `_holdfast${path === "" ? "" : `_${path.replaceAll(/[ -]/g, "_")}`}`;
}

function fish(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, children, options }) => {
    const own = `__holdfast_at ${path === "" ? "" : path.split(" ").join(" ")}`.trim();
    const at = `complete -c holdfast -n ${quoted(own)}`;
    return [
      ...children.map(({ name, summary }) => `${at} -f -a ${quoted(name)} -d ${quoted(summary)}`),
      ...options.map(({ words, description, takesValue, choices }) => {
        const flags = words.map((word) =>
          word.startsWith("--") ? `-l ${word.slice(2)}` : `-s ${word.slice(1)}`,
        );
        const values = choices.length > 0 ? ` -f -a ${quoted(choices.join(" "))}` : "";
        return `${at} ${flags.join(" ")}${takesValue ? ` -r${values}` : ""} -d ${quoted(description)}`;
      }),
    ];
  });
  const paths = nodes.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  return `# fish completion for holdfast: holdfast completion fish | source
set -g __holdfast_paths ${paths.join(" ")}
function __holdfast_at
  set -l path
  for word in (commandline -opc)[2..-1]
    if test "$word" = --
      return 1
    end
    set -l next (string join ' ' $path $word)
    if contains -- "$next" $__holdfast_paths
      set path (string split ' ' -- $next)
    end
  end
  test "$path" = "$argv"
end
${lines.join("\n")}
`;
}
