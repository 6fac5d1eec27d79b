"""Two customers who are one become one: every row that names the one names the other, and the stricter word holds."""
