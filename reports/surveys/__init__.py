"""What customers answered to surveys: `intervals`, `figures` (counted), `screen`, `page`, `texts` (exported)."""
