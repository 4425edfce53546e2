// What the console does in a browser beyond htmx. Every page works without it.
'use strict';

document.documentElement.classList.add('scripted');

// A button with data-copy copies the text of the element it names.
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = button.dataset.copied;
});

// Times are shown in the reader's own time, those of today without their date; the title keeps UTC.
function localize(root) {
  const { lang } = document.documentElement;
  const region = navigator.languages.find((language) => language.startsWith(lang)) ?? lang;
  const today = new Date().toDateString();
  for (const time of root.querySelectorAll('time[datetime]:not([title])')) {
    time.title = time.textContent;
    const at = new Date(time.dateTime);
    const date = at.toDateString() === today ? {} : { dateStyle: 'medium' };
    time.textContent = new Intl.DateTimeFormat(region, { ...date, timeStyle: 'medium' }).format(at);
  }
}
localize(document);
document.addEventListener('htmx:load', (event) => localize(event.target));

// What renews itself waits while nobody looks, or while somebody has selected a text of it.
document.addEventListener('htmx:beforeRequest', (event) => {
  const element = event.target;
  const reads = () => { const s = getSelection(); return !s.isCollapsed && element.contains(s.anchorNode); };
  if (element.dataset.live !== undefined && (document.hidden || reads())) event.preventDefault();
});
