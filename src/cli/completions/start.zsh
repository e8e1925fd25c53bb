_runwrap() {
    # After `--` the command is completed as without runwrap.
    local -i separator=${words[(ie)--]}
    if (( separator < CURRENT )); then
        shift separator words
        (( CURRENT -= separator ))
        _normal
        return
    fi

