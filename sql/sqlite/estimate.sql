-- About how many records there are: counting them would take as long as reading them.
SELECT (SELECT max(id) FROM {table}) - (SELECT min(id) FROM {table}) + 1 -- when: id.integer
SELECT count(*) FROM {table} -- when: id.other
