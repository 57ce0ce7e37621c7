"""The way in for every program outside: it hears what they want and answers, whatever the notebook's cells do."""
