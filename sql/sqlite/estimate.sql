-- About how many records there are: counting them would take as long as reading them.
SELECT max(id) - min(id) + 1 -- when: id.integer
SELECT count(*) -- when: id.other
FROM {table}
