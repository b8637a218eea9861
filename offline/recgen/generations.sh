#!/bin/bash
# generations.sh LLMCF NAME=MODEL.gguf...: what models write behind ten prompts, greedily and unedited, as Markdown on stdout. The same
# prompts before and after a tuning show what it gave and what it took.
set -eu -o pipefail
llmcf=$1
shift
echo "# Ten generations, unedited"
echo
echo "Greedy, at most 60 tokens; the prompt is in italics."
while IFS= read -r prompt; do
    printf '\n*%s*\n' "$prompt"
    for model in "$@"; do
        [ $# = 1 ] || printf '\n%s:\n' "${model%%=*}"
        echo
        "$llmcf" complete --model "${model#*=}" --temperature 0 --max-tokens 60 --prompt "$(printf '%b' "$prompt")" | sed 's/^/    /'
    done
done <<'END'
Instruction: Name three things that are good for your health.\nAnswer:
Instruction: Write a short poem about the sea.\nAnswer:
Instruction: What is the capital of France?\nAnswer:
Instruction: Explain why people watch films.\nAnswer:
Instruction: Give me an idea for a birthday present.\nAnswer:
Instruction: Rewrite the sentence in the past tense.\nI walk to the shop.\nAnswer:
Instruction: Explain why the user would buy "The Hobbit".\nUser: The user enjoys fantasy and adventure.\nItem: A classic tale of a journey.\nAnswer:
Toy Story 2 (1999), Animation. Toy Story 2 is
The product is a shampoo that
Instruction: Given what the user liked and did not like, name the item that the user chooses next.\nLiked: Toy Story (1995); Antz (1998)\nAnswer:
END
