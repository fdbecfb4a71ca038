# grep
