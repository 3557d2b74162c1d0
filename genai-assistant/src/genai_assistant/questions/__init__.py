"""One module per kind of question; each fetches evidence and states what follows from it."""
