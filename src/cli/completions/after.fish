
# After `--` the command is completed as without runwrap.
function __fish_runwrap_after_separator
    contains -- -- (commandline -opc)
end

function __fish_runwrap_command
    set -l words (commandline -opc)
    set -l at (contains -i -- -- $words)
    complete -C (string join -- ' ' (string escape -- $words[(math $at + 1)..-1]) (commandline -ct))
end

functions --erase __fish_runwrap_lacks_verb
functions --copy __fish_runwrap_needs_command __fish_runwrap_lacks_verb
function __fish_runwrap_needs_command
    __fish_runwrap_after_separator; and return 1
    __fish_runwrap_lacks_verb
end

complete -c runwrap -n __fish_runwrap_needs_command -f
complete -c runwrap -n __fish_runwrap_after_separator -f -a "(__fish_runwrap_command)"
complete -c runwrap -n "__fish_runwrap_using_subcommand completions" -f -a "bash elvish fish powershell zsh"
