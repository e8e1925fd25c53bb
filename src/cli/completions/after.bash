
# After `--` the command is completed as without runwrap: by bash-completion if it is loaded, else programs and files.
_runwrap_or_command() {
    local at
    for ((at = 1; at < COMP_CWORD; at++)); do
        [[ ${COMP_WORDS[at]} == -- ]] || continue
        COMPREPLY=()
        if declare -F _comp_command_offset >/dev/null; then
            _comp_command_offset $((at + 1))
        elif declare -F _command_offset >/dev/null; then
            _command_offset $((at + 1))
        elif ((COMP_CWORD == at + 1)); then
            mapfile -t COMPREPLY < <(compgen -c -- "$2")
        fi
        return 0
    done
    _runwrap "$@"
}

complete -F _runwrap_or_command -o bashdefault -o default runwrap
