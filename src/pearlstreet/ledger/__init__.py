"""The ledger: prices, usage spans, balanced postings in whole micro-yuan, holds, invoices, and the proof of the books.

Other packages call inside their own transaction: `prices.current_prices`, `pricing.hourly_rate`,
`funds.check_affordable`, `holds.place_hold` / `extend_hold` / `settle_hold`, `spans.append_span`, `refunds.refund_attempt`.
"""

from pearlstreet.ledger import guards as guards  # imported so that its triggers are created with the tables
