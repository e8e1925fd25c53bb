INSERT INTO {migrations} (number, breaking) VALUES ({number}, {breaking});
