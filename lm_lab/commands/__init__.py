"""What `lm-lab NAME` runs, a module a command."""

COMMANDS = {
    "adapt": "adapt a backbone to a task: fit, validate, test, predict",
    "pretrain": "pretrain a backbone with an objective: fit",
    "bench": "run a suite of adaptations and draw its trade-off curves: run, status, report",
    "track": "runs in Weights & Biases: upload those that were logged offline, build a workspace of a suite",
    "probe": "what every layer of a frozen backbone holds of a task, beside its controls",
    "senses": "how well every layer of a frozen backbone tells the senses of a word apart",
    "score": "what a pretrained language model knows, without training: minimal pairs, last words",
    "words": "word vectors: fit, nearest words, analogies, agreement with people, pictures, other file forms",
    "ledger": "what an adaptation costs in parameters, bytes and operations, without training anything",
    "tokenizer": "train a vocabulary of characters or pieces of words",
    "merge": "write an adaptation as a folder that plain transformers loads",
    "export": "write a trained delta as a PEFT adapter",
    "import": "write a PEFT adapter as a delta",
    "doctor": "check that every strategy keeps its promises on a backbone of yours",
    "completion": "print a script with which bash, zsh, fish or another shell completes these words",
}


def module_of(command: str) -> str:
    """The module with a command's `main`."""
    return f"lm_lab.commands.{'import_peft' if command == 'import' else command}"  # `import` is no name for a module
